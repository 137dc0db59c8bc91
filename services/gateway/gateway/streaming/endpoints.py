"""Routes of a run: its events again, from any place, and the stop button."""

from fastapi import APIRouter

router = APIRouter(tags=["runs"])
