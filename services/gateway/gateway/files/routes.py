"""Downloading a file."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from common.errors import NotFound
from gateway.context import GatewayServices
from gateway.files.headers import content_disposition, safe_media_type
from gateway.files.stored_files import StoredFiles
from gateway.parameters import FILE_ID_PATTERN
from gateway.policy import UserSession

router = APIRouter(tags=["files"])

FileId = Annotated[str, Query(alias="id", pattern=FILE_ID_PATTERN)]


@router.get("/chat/file", response_class=StreamingResponse)
async def download_file(
    session: UserSession, services: GatewayServices, file_id: FileId
) -> StreamingResponse:
    """The bytes, whole, to be saved. A file of somebody else is answered like one that does not exist."""
    file = await StoredFiles(services.db).find(session.user_id, file_id)
    if file is None:
        raise NotFound
    return StreamingResponse(
        file.chunks,
        media_type=safe_media_type(file.media_type),
        headers={
            "Content-Length": str(file.size_bytes),
            "Content-Disposition": content_disposition(file.name),
            "Accept-Ranges": "none",
        },
    )
