"""All the acts, in the order of the story."""

from __future__ import annotations

from demo.acts import OUTBOUND_PLAY
from demo.return_acts import RETURN_PLAY

PLAY = (*OUTBOUND_PLAY, *RETURN_PLAY)
