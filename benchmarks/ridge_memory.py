"""How much memory and time the ridge decoder takes for a whole recording: 8,000 neurons, many trials.

Trials are random numbers made at each access, as a lazy recording reads its files, so what is measured is what the
decoder holds. Memory does not depend on the number of trials or their length (as long as there are more frames than
features, 5,995 here), so the trials are shorter than real ones to save time. Prints one line of JSON.

    python benchmarks/ridge_memory.py --trials 64 --frames 100
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np

from _machine import reset_peak, resident_mib
from neuroreel.decoding.fit import fit_decoder
from neuroreel.recordings.trial import Trial


class GeneratedTrials(Sequence):
    """Trials that are made anew at each access."""

    def __init__(self, count: int, *, neurons: int, frames: int, height: int, width: int) -> None:
        self.count, self.neurons, self.frames, self.size = count, neurons, frames, (height, width)
        self.taste = np.random.default_rng(0).normal(size=(neurons, 20)).astype(np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Trial:
        if not 0 <= index < self.count:
            raise IndexError(index)
        random = np.random.default_rng(index)
        signal = random.standard_normal((20, self.frames), np.float32)
        responses = np.maximum(self.taste @ signal + random.standard_normal((self.neurons, self.frames), np.float32), 0)
        video = random.integers(0, 256, (self.frames, *self.size), np.uint8)
        return Trial(video=video, responses=responses, frame_rate_hz=30, name=f"trial {index}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=8000)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--height", type=int, default=36)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    trials = GeneratedTrials(
        options.trials, neurons=options.neurons, frames=options.frames, height=options.height, width=options.width
    )
    trials[0]
    reset_peak()
    before, start = resident_mib("VmRSS"), time.perf_counter()
    decoder = fit_decoder(trials, held_out_frames=1000)
    seconds = time.perf_counter() - start
    figures = {
        **vars(options),
        "features": decoder.features.count,
        "seconds": round(seconds, 1),
        "peak_mib": resident_mib("VmHWM"),
        "mib_before_the_fit": before,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
