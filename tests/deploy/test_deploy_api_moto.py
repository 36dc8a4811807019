"""The REST API made and deleted on moto, in both partitions, and its gateway at work in what the template made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import httpx
import pytest
from cloud import ACCOUNT, taught_cloud
from cloud import push_image as push

from pixelserve_deploy import cli

