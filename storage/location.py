"""Where a store is: a folder, or a prefix in an object store that speaks S3."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    import icechunk

SCHEME = "s3://"


@dataclass(frozen=True)
class Location:
    """A folder or ``s3://bucket/prefix``, with or without a store in it.

    For S3 the address, the region and the credentials come from the usual variables:
    ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and so on.
    """

    text: str

    @classmethod
    def of(cls, place: Location | Path | str) -> Location:
        """Read a location.

        Raises
        ------
        InputError
            When the scheme is another than ``s3`` or there is no bucket or prefix.
        """
        if isinstance(place, Location):
            return place
        text = str(place)
        if ("://" in text or text.startswith("s3:")) and not text.startswith(SCHEME):
            raise InputError(f"{text}: stores and runs are in folders or at s3://bucket/prefix")
        remote = text.startswith(SCHEME)
        location = cls(SCHEME + text.removeprefix(SCHEME).rstrip("/") if remote else text)
        if location.remote and not all(location.bucket_and_prefix):
            raise InputError(f"{text}: a bucket and a prefix are needed, such as s3://bucket/data/caravan")
        return location

    def __str__(self) -> str:
        return self.text

    @property
    def remote(self) -> bool:
        """Whether it is in an object store."""
        return self.text.startswith(SCHEME)

    @property
    def path(self) -> Path:
        """The folder of a local store."""
        assert not self.remote
        return Path(self.text).expanduser()

    @property
    def bucket_and_prefix(self) -> tuple[str, str]:
        """The bucket and the prefix in it."""
        bucket, _, prefix = self.text.removeprefix(SCHEME).partition("/")
        return bucket, prefix

    def exists(self) -> bool:
        """Tell whether there is anything; an object store that cannot be asked raises."""
        if not self.remote:
            return self.path.exists()
        from thalweg.storage.faults import explained
        from thalweg.storage.icechunk import icechunk

        with explained(self):
            return icechunk.Repository.exists(self.storage())

    def storage(self) -> icechunk.Storage:
        """Give Icechunk's way to it."""
        from thalweg.storage.icechunk import icechunk

        if not self.remote:
            return icechunk.local_filesystem_storage(str(self.path))
        bucket, prefix = self.bucket_and_prefix
        address = endpoint()
        options = icechunk.S3Options(
            region=region(),
            endpoint_url=address,
            allow_http=address is not None and address.startswith("http://"),
            # servers other than Amazon's seldom have a name for each bucket
            force_path_style=address is not None,
        )
        # Of Icechunk's two clients the one with a limit of time: the other waits for ever for a server that
        # took a request and went silent.
        return icechunk.Storage.new_s3_object_store(
            config=options,
            bucket=bucket,
            prefix=prefix,
            credentials=icechunk.s3_from_env_credentials(),
        )


def region() -> str:
    """Give the region of the object store that the environment names."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def endpoint() -> str | None:
    """Give the address of the object store that the environment names; None is Amazon's.

    Raises
    ------
    InputError
        When it is no address, or holds credentials.
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if text := os.environ.get(name):
            address = urlsplit(text)
            if "@" in address.netloc:  # it would be shown with every error
                raise InputError(
                    f"{name}: an address holds no password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            if address.scheme not in ("http", "https") or not address.hostname:
                raise InputError(f"{name}={text}: no address; write one such as https://minio.lab:9000")
            return text
    return None
