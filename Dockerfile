# The demo in a box; its results are yours, in ./runs:
#   docker build -t ltbench . && mkdir -p runs
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/work/runs" ltbench
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
RUN useradd --no-create-home researcher && mkdir -m 1777 /work
USER researcher
# What --user names has neither home nor name in here.
ENV HOME=/work USER=researcher
WORKDIR /work
CMD ["sh", "-c", "ltbench run && ltbench report"]
