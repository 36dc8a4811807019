"""Instances: types, machine images, numbers, quotas."""

from __future__ import annotations

import difflib
import re

from pixelserve_deploy.cost import ASYNC_INSTEAD
from pixelserve_deploy.deployment.ami import AMIS, choose_ami, read_major
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.refusals.refusal import Refusal, Refusals
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode, Update, count_in_update, has_gpu

TYPE = re.compile(r"ml\.(?P<family>[a-z]+\d+[a-z-]*)\.(?P<size>\w+)")
GRAVITON = re.compile(r"[a-z]+\d+[a-z]*g[a-z]*")
"""Families with ARM processors; ours are images for x86-64."""
NEURON = ("inf", "trn")


def check(spec: EndpointSpec, facts: Facts) -> Refusals:
    """Refuses a fleet that cannot be; nothing for modes without one."""
    if not spec.is_on_instances:
        return
    yield from _check_types(spec, facts)
    yield from _check_ami(spec, facts)
    yield from _check_numbers(spec)
    yield from _check_quotas(spec, facts)


def _check_types(spec: EndpointSpec, facts: Facts) -> Refusals:
    for kind in spec.instances:
        found = TYPE.fullmatch(kind)
        if found is None:
            yield Refusal("instances", f"{kind} is no type of SageMaker's. Write such as ml.g4dn.xlarge.")
        elif GRAVITON.fullmatch(found["family"]):
            yield Refusal("instances", f"{kind} has an ARM processor, the image is for x86-64. Take such as "
                                       "ml.c6i.xlarge.")  # fmt: skip
        elif found["family"].startswith(NEURON):
            yield Refusal("instances", f"{kind} needs a model compiled for Neuron, which the image has not. Take "
                                       "ml.g4dn.xlarge.")  # fmt: skip
        elif spec.mode is Mode.ASYNC and kind in ASYNC_INSTEAD:
            yield Refusal("instances", f"{kind} is not offered for asynchronous endpoints. The next is "
                                       f"{ASYNC_INSTEAD[kind]}: write that.")  # fmt: skip
        elif facts.offered is not None and kind not in facts.offered:
            near = difflib.get_close_matches(kind, sorted(facts.offered), 3)
            instead = f"Take {' or '.join(near)}" if near else "Take another type"
            yield Refusal("instances", f"{facts.region} does not offer {kind}. {instead}, or another region.")
    if len(set(spec.instances)) < len(spec.instances):
        yield Refusal("instances", "A type is there twice. Name each once, the preferred first.")
    if len({has_gpu(kind) for kind in spec.instances}) > 1:
        yield Refusal("instances", "Some have a GPU and some have none, and they share one image. Name one kind.")


def _check_ami(spec: EndpointSpec, facts: Facts) -> Refusals:
    if not has_gpu(spec.instances[0]):
        if spec.ami:
            yield Refusal("ami", f"{spec.instances[0]} has no GPU, and {spec.ami} is for those. Remove it.")
        return
    if facts.cuda == "":
        yield Refusal("image", f"The image is for CPUs, and {spec.instances[0]} has a GPU. Build it "
                               "with --device cuda, or take such as ml.c6i.xlarge.")  # fmt: skip
        return
    if spec.ami and spec.ami not in AMIS:
        near = difflib.get_close_matches(spec.ami, AMIS, 1) or [choose_ami(facts.cuda)]
        yield Refusal(
            "ami", f"There is no {spec.ami} for GPUs. Write {near[0]}, or nothing: it is chosen by the image."
        )
        return
    major = read_major(facts.cuda)
    if major and major not in {ami.cuda for ami in AMIS.values()}:
        yield Refusal("image", f"No machine image of SageMaker's is for CUDA {facts.cuda}. Build it with "
                               "--device cuda, which takes CUDA 12.")  # fmt: skip
    elif major and spec.ami and AMIS[spec.ami].cuda != major:
        ami = AMIS[spec.ami]
        yield Refusal("ami", f"{ami.version} is for CUDA {ami.cuda} (driver {ami.driver}), and the image has CUDA "
                             f"{facts.cuda}. Write {choose_ami(facts.cuda)}, or nothing.")  # fmt: skip


def _check_numbers(spec: EndpointSpec) -> Refusals:
    if spec.least == 0 and spec.mode is Mode.REALTIME:
        yield Refusal("count", "A real-time endpoint has one instance at least. Write 1, or mode = 'async'.")
    if spec.least > spec.greatest:
        yield Refusal(
            "most", f"`count` is {spec.least}, so `most` cannot be {spec.greatest}. Write {spec.least} or more."
        )
    if spec.update is Update.ROLLING and spec.least < 2:
        yield Refusal("update", "A rolling update replaces half of the instances at most. Write count = 2 or more, or "
                                "update = 'blue-green'.")  # fmt: skip


def _check_quotas(spec: EndpointSpec, facts: Facts) -> Refusals:
    kind = spec.instances[0]
    quota = facts.quotas.get(kind)
    if quota is None:
        return
    ask = f"ask for more of '{kind} for endpoint usage' in Service Quotas"
    if quota < max(spec.least, 1):
        yield Refusal("count", f"{max(spec.least, 1)} x {kind} is above the quota of {quota}: {ask}, or take another "
                               "type.")  # fmt: skip
    elif quota < spec.greatest:
        yield Refusal("most", f"{spec.greatest} x {kind} is above the quota of {quota}: write {quota}, or {ask}.")
    elif spec.update is not None and quota < (needed := count_in_update(spec.update, spec.least)):
        fits = spec.least > 1 and quota >= count_in_update(Update.ROLLING, spec.least)
        instead = "write update = 'rolling'" if fits else "leave `update` out"
        name = "Blue/green" if spec.update is Update.BLUE_GREEN else "A rolling update"
        yield Refusal("update", f"{name} takes {needed} x {kind} for some minutes, the quota is {quota}: "
                                f"{instead}, or {ask}.")  # fmt: skip
