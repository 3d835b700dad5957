# SPDX-License-Identifier: Apache-2.0
"""Recipes of the curves of size against points lost (training_table.py)."""
from dataclasses import dataclass


@dataclass
class Point:
    sparsity: float  # of the layers that can do without most
    values: int


@dataclass
class Case:
    model: str
    mnist: int  # images of MNIST to train on; 0: the glyphs
    wanted: float  # times smaller, within a point
    shares: list  # of the sparsity, for each layer in graph order; one number: all layers alike
    epochs: int  # of pruning
    points: list
    has_batch_norm: bool = True
    rich: str = "[first]"  # layers that are small, or miss each value

    def prune(self, sparsity):
        return "[" + ", ".join(f"{min(share * sparsity, 0.98):.3f}" for share in self.shares) + "]"

    def recipe(self, data, point, epochs=0):
        """`epochs`: of the pruning; 0: as the network needs."""
        epochs = epochs or self.epochs
        learn = "batch: 64, shift: %d, augment-share: %g, teacher: input, temperature: %d, soft-weight: %g" % (
            (2, 0.8, 3, 0.7) if self.has_batch_norm else (1, 0.5, 2, 0.5))
        norm = "batch-norm: update, " if self.has_batch_norm else ""
        folds = ["fold-batch-norm", "fold-affine", "eliminate-dead", "share-initializers"]
        pruned = (f"fine-tune: {{epochs: {epochs}, learning-rate: 0.001, rate-end: 0.02, {learn}, {norm}"
                  f"prune-every: 50, prune-sparsity: {self.prune(point.sparsity)}}}")
        # Batch normalization is kept while weights go, and its statistics follow.
        steps = ["fold-constants", "eliminate-identity", pruned, *folds,
                 f"share-weights: {{values: {point.values}}}\n    skip: {self.rich}",
                 f"share-weights: {{values: 15}}\n    only: {self.rich}",
                 f"fine-tune: {{epochs: {min(epochs, 5)}, learning-rate: 0.0005, schedule: linear, {learn}}}",
                 "encode-weights", "shorten-names"]
        return "version: 1\n" + data + "metric: top1\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


CASES = [
    Case("glyphs/resnet8-bn", 0, 10, [0.3, 0.8, 0.8, 0.9, 0.95, 0.5, 0.95, 1.05, 0.8, 0.8], 14,
         [Point(0.65, 15), Point(0.65, 7), Point(0.78, 7), Point(0.86, 7)]),
    Case("glyphs/mobilenetv2-bn", 0, 10,
         [0, 0.75, 0, 0.85, 0.95, 0, 0.95, 0.95, 0, 0.95, 1, 0, 1, 1, 0, 1, 1.05, 0, 1.05, 1.05, 0.9], 12,
         [Point(0.7, 7), Point(0.8, 7), Point(0.8, 3), Point(0.86, 7)],
         rich="[first, depthwise]"),
    Case("vit-tiny/model", 30000, 8, [1] * 25 + [0.6], 9, [Point(0.65, 7), Point(0.75, 7), Point(0.85, 7)],
         has_batch_norm=False),
]
