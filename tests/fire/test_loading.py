"""What is not loaded yet, or does not load: the server is there from the first moment on and says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from handlers import BUSY, SLOW_TO_LOAD
from raw_http import connected, post, read_all
from servers import Server, wait_for

PREDICT = "\n\ndef predict_fn(data, model):\n    return data\n"


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("import no_such_package", "No module named 'no_such_package'"),
        ("def model_fn(model_dir):\n    return 1", "defines no predict_fn(data, model)"),
        (
            "def model_fn(model_dir):\n    return 1\n\ndef predict_fn(d):\n    return d",
            "must take (data, model[, context])",
        ),
        (PREDICT, "defines no model_fn"),
        ("import os\nos._exit(7)", "ended while loading (exit code 7)"),
        ("def model_fn(model_dir):\n    raise SystemExit(1)" + PREDICT, "SystemExit"),
    ],
)
def test_what_does_not_load_is_told_by_ping(serve: Callable[..., Server], handler: str, reason: str) -> None:
    server = serve(handler)

    def told() -> bool:
        answer = server.ping()
        return answer is not None and answer.status_code == 503 and reason in answer.json()["error"]["message"]

    wait_for(told, what=reason)
    assert server.invoke("{}").status_code == 503
    assert server.process.poll() is None


def test_no_handler_at_all(serve: Callable[..., Server]) -> None:
    server = serve(SAGEMAKER_SUBMIT_DIRECTORY="/nowhere")
    wait_for(lambda: (answer := server.ping()) and "No handler at /nowhere" in answer.text)


def test_a_connection_made_while_loading_is_served_once_loaded(serve: Callable[..., Server]) -> None:
    server = serve(SLOW_TO_LOAD.format(seconds=1.5))
    wait_for(server.ping)
    with connected(server) as connection:
        server.ready()
        connection.sendall(post(b"{}", extra="connection: close\r\n"))
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_a_taken_port_is_one_clear_line(serve: Callable[..., Server]) -> None:
    first = serve(BUSY)
    wait_for(first.ping)
    second = serve(BUSY, SAGEMAKER_BIND_TO_PORT=str(first.port))
    assert second.exit_code(30) == 1
    assert "Cannot listen on 127.0.0.1" in second.log_text()


def test_a_handler_whose_folder_is_gone_goes_on_and_its_successor_waits_for_it(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    folder = server.log_path.with_name("handler")
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    assert server.invoke("{}").status_code == 200
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_for(lambda: f"No handler at {folder}" in server.ping().text)
    assert server.ping().json()["error"]["state"] == "load_failed"
    elsewhere.rename(folder)
    assert server.ready().invoke("{}").status_code == 200


MISSING = "def model_fn(model_dir):\n    return open(f'{model_dir}/weights.pt')" + PREDICT


def test_missing_weights_are_told_once_with_the_folder_and_what_to_pass(serve: Callable[..., Server]) -> None:
    """Later attempts are a line each, without a traceback."""
    server = serve(MISSING)
    wait_for(lambda: server.log_text().count("the next starts in") >= 3, what="three attempts")
    log = server.log_text()
    assert log.count('"traceback"') == 1
    assert log.count("the model did not load") == 1
    told = server.ping().json()["error"]["message"]
    assert "FileNotFoundError" in told
    assert "(model_fn got the model folder " in told
    assert "Pass the weights: `docker run -v FOLDER:/opt/ml/model:ro`" in told


def test_weights_are_not_named_where_they_are_not_why(serve: Callable[..., Server]) -> None:
    server = serve("def model_fn(model_dir):\n    import no_such_package" + PREDICT)
    wait_for(lambda: (answer := server.ping()) and "no_such_package" in answer.text)
    assert "Pass the weights" not in server.ping().text
