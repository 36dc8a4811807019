"""Requests to endpoints, here and on AWS: what is sent, by which way, one or many. Loaded on demand."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.calls.folders import AT_ONCE, Item, list_items, select_undone, send_items
    from pixelserve_deploy.calls.load import Loaded, load_endpoint
    from pixelserve_deploy.calls.lookup import Described, describe_choice, describe_endpoint, look_up
    from pixelserve_deploy.calls.record import RECORD, write_record, writer_of
    from pixelserve_deploy.calls.request import ACCEPTS, ENDINGS, accept_of, build_body, choose_accept, choose_type
    from pixelserve_deploy.calls.senders import (
        TRIES,
        Choose,
        InvocationFailed,
        ModelAnswer,
        Send,
        send_async,
        send_here,
        send_realtime,
    )
    from pixelserve_deploy.calls.ways import (
        Choice,
        Load,
        Way,
        choose_way,
        describe_hours,
        describe_load,
        describe_price,
        load_of,
    )
else:
    __getattr__ = exports(
        __name__,
        {
            ".folders": "AT_ONCE Item list_items select_undone send_items",
            ".load": "Loaded load_endpoint",
            ".lookup": "Described describe_choice describe_endpoint look_up",
            ".record": "RECORD write_record writer_of",
            ".request": "ACCEPTS ENDINGS accept_of build_body choose_accept choose_type",
            ".senders": "TRIES Choose InvocationFailed ModelAnswer Send send_async send_here send_realtime",
            ".ways": "Choice Load Way choose_way describe_hours describe_load describe_price load_of",
        },
    )

__all__ = [
    "ACCEPTS",
    "AT_ONCE",
    "ENDINGS",
    "RECORD",
    "TRIES",
    "Choice",
    "Choose",
    "Described",
    "InvocationFailed",
    "Item",
    "Load",
    "Loaded",
    "ModelAnswer",
    "Send",
    "Way",
    "accept_of",
    "build_body",
    "choose_accept",
    "choose_type",
    "choose_way",
    "describe_choice",
    "describe_endpoint",
    "describe_hours",
    "describe_load",
    "describe_price",
    "list_items",
    "load_endpoint",
    "load_of",
    "look_up",
    "select_undone",
    "send_async",
    "send_here",
    "send_items",
    "send_realtime",
    "write_record",
    "writer_of",
]
