"""Recordings: what an animal saw and what its neurons did."""

from neuroreel.recordings.checks import TrialSpec, check_trials
from neuroreel.recordings.recording import Recording, Trials, open_recording
from neuroreel.recordings.trial import Trial
from neuroreel.recordings.writing import write_recording

__all__ = ["Recording", "Trial", "TrialSpec", "Trials", "check_trials", "open_recording", "write_recording"]
