"""Where the bytes of files are: the chat worker writes them, the gateway reads them."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorGridFSBucket

from common.mongo.client import Database

BUCKET = "file_bytes"


def file_bytes(db: Database) -> Any:
    """Return the GridFS bucket of files."""
    return AsyncIOMotorGridFSBucket(db, bucket_name=BUCKET)
