"""Feature likelihood divergence: do samples explain new real images as well as they explain the training set?

A mixture of Gaussians has one component on every generated image, equal weights, and for each component a
variance of its own that is fitted to the training images by maximum likelihood. With nll(S) the mean negative
log-likelihood of a set a dimension,

    FLD = 100 (nll(held-out) - baseline)          lower is better
    gap = 100 (nll(training) - nll(held-out))     strongly below 0: the samples repeat the training images

where the baseline is nll(held-out) of the same mixture on one half of the training set (on as many of its images
as were generated, where those are fewer), fitted to the rest. All sets are standardised by the held-out set's
mean and standard deviation. The halves are drawn from our seed; with 800 images another draw moves FLD by about
.9, so compare at one seed and over several trainings.

The training set is the long-tailed one. A class of five images cannot be fitted, so there is no value a class.

Source: Jiralerspong et al., "Feature Likelihood Divergence: Evaluating the Generalization of Generative Models
Using Samples", NeurIPS 2023; constants as in its released package.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.metrics.features import Array, as_features, in_blocks, same_width
from ltbench.rng import numpy_generator

_EPOCHS, _BATCH, _RATE = 50, 10_000, 0.5
_STILL, _PATIENCE, _FIRST_STOP = 5e-4, 5, 10  # ends once the loss moved less against each of the last five
_LIMIT = 40.0  # of a log variance
_SHRINK = 0.81  # of squared distances to the background component
_OFFSET = 1e-3  # in the first variances, for images that are in both sets
MOST_GENERATED = 10_000
FEWEST = 20  # of any set: below it neither a variance nor a half of the training set says anything


@dataclass(frozen=True)
class Mixture:
    """Equal-weight Gaussians on some points, each of its own isotropic variance.

    Attributes
    ----------
    centres
        (m, d) float64.
    log_variance
        (m,) float64.
    """

    centres: Tensor
    log_variance: Tensor

    @classmethod
    def start(cls, centres: Tensor, training: Tensor) -> "Mixture":
        """Give each centre the squared distance to its nearest training image, a dimension, as variance."""
        nearest = torch.full((len(centres),), math.inf, dtype=torch.float64, device=centres.device)
        for rows in in_blocks(len(training), 1000):
            nearest = torch.minimum(nearest, _squared(training[rows], centres).amin(dim=0))
        return cls(centres, torch.log((nearest + _OFFSET) / centres.shape[1]))

    def fitted(self, training: Tensor) -> "Mixture":
        """Fit the variances to training images by Adam, beside one background component that is then dropped."""
        log_variance = self.log_variance.clone().requires_grad_(True)
        background = torch.zeros((), dtype=torch.float64, device=training.device, requires_grad=True)
        mean = training.mean(dim=0, keepdim=True)
        optimizer = torch.optim.Adam([log_variance, background], lr=_RATE)
        losses: list[float] = []
        for epoch in range(_EPOCHS):
            total = torch.zeros(
                (), dtype=torch.float64, device=training.device
            )  # read once an epoch: a GPU is waited for
            for rows in in_blocks(len(training), _BATCH):
                x = training[rows]
                parts = _log_densities(_squared(x, self.centres), log_variance, x.shape[1])
                parts = parts - math.log(len(self.centres))
                far = _log_densities(_SHRINK * _squared(x, mean), background, x.shape[1])
                loss = -torch.cat([parts, far], dim=1).logsumexp(dim=1).mean() / x.shape[1]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    log_variance.clamp_(-_LIMIT, _LIMIT)
                total += loss.detach() * len(x)
            losses.append(float(total) / len(training))
            last = losses[-_PATIENCE - 1 : -1]
            if epoch >= _FIRST_STOP and all(abs(losses[-1] - earlier) < _STILL for earlier in last):
                break
        return Mixture(self.centres, log_variance.detach())

    def nll(self, x: Tensor) -> float:
        """Return the mean negative log-likelihood of images (n, d), divided by d."""
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for rows in in_blocks(len(x), 1000):
            parts = _log_densities(_squared(x[rows], self.centres), self.log_variance, x.shape[1])
            total += (parts - math.log(len(self.centres))).logsumexp(dim=1).sum()
        return -float(total) / (len(x) * x.shape[1])


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()


def _log_densities(squared: Tensor, log_variance: Tensor, d: int) -> Tensor:
    return -0.5 * squared / log_variance.exp() - 0.5 * d * (log_variance + math.log(2 * math.pi))


def standardised(heldout: Tensor, *sets: Tensor) -> list[Tensor]:
    """Return sets (n, d) float64 shifted and scaled by the held-out set's mean and sample standard deviation."""
    mean, spread = heldout.double().mean(dim=0), heldout.double().std(dim=0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))  # a constant dimension tells nothing
    return [(x.double() - mean) / spread for x in sets]


def feature_likelihood_divergence(
    training: Array, heldout: Array, generated: Array, *, seed: int = 0
) -> dict[str, float]:
    """Return FLD and its generalisation gap.

    Parameters
    ----------
    training
        (t, d) features of the training images; every set has at least `FEWEST`.
    heldout
        (n, d) features of real images in neither the training set nor the reference.
    generated
        (m, d) features of samples; of more than 10,000 a seeded choice.
    seed
        Of that choice, and of the training set's halves and batches.

    Returns
    -------
    dict
        ``fld`` (0 where samples are as good as half the training set, lower is better, may be negative) and
        ``gap`` (about 0 where nothing is repeated).

    Raises
    ------
    UsageError
        Too few images, NaN or infinite values, or unequal dimensions.
    """
    train = as_features(training, "training", FEWEST)
    real, fake = as_features(heldout, "held-out", FEWEST), as_features(generated, "generated", FEWEST)
    same_width(train, fake)
    same_width(real, fake)
    if len(fake) > MOST_GENERATED:
        rng = numpy_generator(seed, "fld samples")
        chosen = rng.choice(len(fake), MOST_GENERATED, replace=False)
        fake = fake[torch.from_numpy(chosen).to(fake.device)]
    x, y, g = standardised(real, train, real, fake)
    order = torch.from_numpy(numpy_generator(seed, "fld halves").permutation(len(x))).to(x.device)
    half = min(len(x) // 2, len(g))
    x = x[order]  # its batches too: a training set is stored class by class
    samples = Mixture.start(g, x).fitted(x)
    baseline = Mixture.start(x[:half], x[half:]).fitted(x[half:]).nll(y)
    heldout_nll = samples.nll(y)
    return {"fld": 100 * (heldout_nll - baseline), "gap": 100 * (samples.nll(x) - heldout_nll)}
