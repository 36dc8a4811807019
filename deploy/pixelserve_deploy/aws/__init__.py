"""Amazon Web Services: partitions, clients and the registry of images. Loaded on demand, for boto3 takes its time."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.aws.partition import find_partition
    from pixelserve_deploy.aws.registry import Registry, RegistryError
    from pixelserve_deploy.aws.session import TRIES, AwsError, Client, Session, make_client
else:
    __getattr__ = exports(
        __name__,
        {
            ".partition": "find_partition",
            ".registry": "Registry RegistryError",
            ".session": "TRIES AwsError Client Session make_client",
        },
    )

__all__ = ["TRIES", "AwsError", "Client", "Registry", "RegistryError", "Session", "find_partition", "make_client"]
