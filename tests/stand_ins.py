"""Stand-ins for other labs' models, small, with random weights.

Each is written from the documented signature of the library's own class, and behaves at its edges as that does: axes,
frames left out, what carries gradients, where the state lies. None is the library's code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class StandInOpenRetina(nn.Module):
    """As ``BaseCoreReadout``: (batch, channels, t, h, w) and data_key to (batch, t - cut, neurons); data_info."""

    def __init__(self, *, cut: int = 5, sessions: dict[str, int] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        sessions = {"first": 4, "second": 6} if sessions is None else sessions
        self.conv = nn.Conv3d(2, 3, (cut + 1, 3, 3))  # valid in time: it leaves out the first frames
        self.readout = nn.ModuleDict({name: nn.Linear(3 * 6 * 8, count) for name, count in sessions.items()})
        self.data_info: dict[str, Any] = {
            "n_neurons_dict": sessions,
            "input_shape": (2, 8, 10),
            "stim_mean": 100.0,
            "stim_std": 50.0,
        }

    def forward(self, x: Tensor, data_key: str | None = None) -> Tensor:
        features = torch.tanh(self.conv(x))  # (batch, 3, t, 6, 8)
        return nn.functional.softplus(self.readout[data_key](features.movedim(2, 1).flatten(2)))


class StandInViV1T(nn.Module):
    """As ``Model`` of viv1t: keyword arguments; (responses (B, N, T'), features without a gradient); output_shapes."""

    def __init__(self, *, neurons: int, mice: str = "FG", cut: int = 2, height: int = 8, width: int = 10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.output_shapes = dict.fromkeys(mice, (neurons, 300))
        self.core = nn.Conv3d(1, 3, (cut + 1, 3, 3))
        self.attention = nn.Linear(3 * (height - 2) * (width - 2), 16)
        self.behavior = nn.Linear(4, 16)
        self.readouts = nn.ModuleDict({mouse: nn.Linear(16, neurons) for mouse in mice})

    def forward(
        self, inputs: Tensor, mouse_id: str, behaviors: Tensor, pupil_centers: Tensor, activate: bool = True
    ) -> tuple[Tensor, Tensor]:
        seen = self.core(inputs)
        frames = seen.shape[2]
        core = self.attention(seen.movedim(2, 1).flatten(2))  # autocast would compute this in bfloat16
        core = torch.tanh(core + self.behavior(torch.cat([behaviors, pupil_centers], dim=1)[..., -frames:].mT))
        outputs = self.readouts[mouse_id](core).mT
        return (nn.functional.elu(outputs) + 1 if activate else outputs), core.detach()


class StandInFnn(nn.Module):
    """As ``Visual`` of fnn: one frame a call; recurrent modules keep ``past``, a dict, until ``reset``."""

    def __init__(self, *, neurons: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = _Recurrent()
        self.readout = nn.Linear(8, neurons)

    def reset(self) -> StandInFnn:
        self.recurrent.past.clear()
        return self

    def forward(self, stimulus: Tensor, perspective: Tensor, modulation: Tensor) -> Tensor:
        assert stimulus.shape[1:] == (1, 144, 256) and stimulus.max() <= 1
        assert perspective.shape[1:] == modulation.shape[1:] == (2,)
        seen = nn.functional.avg_pool2d(stimulus, 32).flatten(1)
        return torch.exp(self.readout(self.recurrent(torch.cat([seen, perspective, modulation], dim=1))))


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.gate = nn.Linear(4 * 8 + 4, 8), nn.Linear(4 * 8 + 12, 8)
        self.past: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        h = self.past["h"] if self.past else torch.zeros(1, 8, device=x.device)
        z = torch.sigmoid(self.gate(torch.cat([x, h.expand(len(x), -1)], dim=1)))
        self.past["h"] = h = z * h + (1 - z) * torch.tanh(self.inputs(x))
        return h


class StandInSensorium(nn.Module):
    """As ``VideoFiringRateEncoder``: (B, 1 + 2, T, H, W), data_key, pupil_center (B, 2, T) to (B, T', N)."""

    def __init__(self, *, neurons: int, name: str, cut: int = 4, height: int = 8, width: int = 10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.core = nn.Conv3d(3, 4, (cut + 1, 3, 3))
        self.shifter = nn.ModuleDict({name: nn.Sequential(nn.Linear(2, 2), nn.Tanh())})
        self.readout = nn.ModuleDict({name: nn.Linear(4 * (height - 2) * (width - 2) + 2, neurons)})

    def forward(
        self, inputs: Tensor, *args: Any, data_key: str | None = None, pupil_center: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        x = torch.tanh(self.core(inputs)).movedim(2, 1).flatten(2)  # (B, T', features)
        if pupil_center is None:
            raise ValueError("pupil_center is not given")
        shift = self.shifter[data_key](pupil_center[:, :, -x.shape[1] :].mT)
        return nn.functional.elu(self.readout[data_key](torch.cat([x, shift], dim=2))) + 1
