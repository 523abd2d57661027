# The demo in a box:   docker build -t ltbench . && docker run --rm -v "$PWD/runs:/work/runs" ltbench
# On a GPU: build with --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 and run with --gpus all.
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir torch torchvision --index-url ${TORCH_INDEX}
WORKDIR /opt/ltbench
COPY pyproject.toml setup.py README.md LICENSE ./
COPY ltbench ltbench
COPY methods methods
COPY baselines baselines
COPY results/published results/published
RUN pip install --no-cache-dir '.[inception,track]'
RUN useradd --create-home researcher && mkdir /work && chown researcher /work
USER researcher
WORKDIR /work
CMD ["sh", "-c", "ltbench run && ltbench report"]
