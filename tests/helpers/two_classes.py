"""Two classes in closed form."""

from ltbench.diffusion.closed_form import ClosedForm

TWO = ClosedForm([-0.5, 0.4], [0.1, 0.3], [0.9, 0.1], (1, 8, 8))
