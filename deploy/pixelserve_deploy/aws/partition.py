"""The partitions of AWS: China's two regions have accounts, addresses and prices of their own."""


def find_partition(region: str) -> str:
    """The partition of a region: `aws`, or `aws-cn` for China's two."""
    return "aws-cn" if region.startswith("cn-") else "aws"
