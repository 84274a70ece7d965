"""Models that see one frame at a time and keep a state, with backpropagation through time in bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from neuroreel.encoding.interface import EncodingModel


class RecurrentModel(EncodingModel):
    """An encoding model of one frame at a time.

    A subclass writes ``step``. For gradients, the movie is cut into sqrt(frames) segments. Only the state between them
    is kept; each segment is computed again for its gradient. Memory grows with the square root of the movie's length,
    and the time is a third longer than if everything were kept (Chen et al. 2016).
    """

    any_length = True
    behavior_as: Literal["planes", "vectors"] = "vectors"

    @abstractmethod
    def step(self, frame: Tensor, behavior: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One frame.

        Parameters
        ----------
        frame
            (batch, height, width), standardized if the model says so.
        behavior
            (batch, covariates).
        state
            The state returned by the last step: tensors, or tuples, lists and dicts of them. None for the first frame.

        Returns
        -------
        responses
            (batch, neurons).
        state
            The state for the next step; not changed in place.
        """

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        """Clips (batch, 1, frames, height, width) and behavior (batch, covariates, frames)."""
        frames = clips.shape[2]
        length = max(1, round(frames**0.5))
        again = torch.is_grad_enabled() and clips.requires_grad
        found, state = [], None
        for start in range(0, frames, length):
            stretch = clips[:, 0, start : start + length], behavior[:, :, start : start + length], state
            if again:
                responses, state = checkpoint(self._stretch, *stretch, use_reentrant=False, preserve_rng_state=False)
            else:
                responses, state = self._stretch(*stretch)
            found.append(responses)
        return torch.cat(found, dim=2)

    def _stretch(self, video: Tensor, behavior: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Responses (batch, neurons, frames) to some frames, and the state after them."""
        found = []
        for number in range(video.shape[1]):
            responses, state = self.step(video[:, number], behavior[:, :, number], state)
            found.append(responses)
        return torch.stack(found, dim=2), state
