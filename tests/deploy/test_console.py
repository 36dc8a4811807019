"""What the command line shows, on a pseudo-terminal and piped."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios

PIXELSERVE = [sys.executable, "-m", "pixelserve_deploy"]


def draw(command: list[str], width: int = 120) -> str:
    """What a command leaves on a terminal: standard output and error, without colours and cursor movements."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "COLUMNS"):
        environ.pop(name, None)
    with subprocess.Popen(command, stdout=its, stderr=its, stdin=its, env=environ) as process:
        os.close(its)
        drawn = bytearray()
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
            drawn += part
        os.close(ours)
    assert process.returncode in (0, 1)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode()).replace("\r\n", "\n")


def show(program: str) -> str:
    return draw([sys.executable, "-c", f"from pixelserve_deploy import console\n{program}"])


def test_a_table_is_drawn_on_a_terminal_and_is_plain_elsewhere() -> None:
    command = [*PIXELSERVE, "weights", "list"]
    drawn = draw(command)
    assert "─────" in drawn
    assert re.search(r" realesrgan-x4plus-anime-6b +17\.9 ", drawn)
    piped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert piped.splitlines()[0].split() == ["NAME", "MB", "FETCHED", "FEATURE", "ABOUT", "LICENCE"]
    assert "─" not in piped


def test_a_report_is_drawn_with_its_notes_and_its_total() -> None:
    drawn = draw([*PIXELSERVE, "cost", "table", "image_super"])
    assert drawn.startswith("image_super_resolution/us-east-2/sagemaker (as-documented, USD")
    assert re.search(r"\n +Total +\$648\.21 +\n", drawn)
    assert "  7 of 7 lines as printed, and the total too.\n" in drawn


def test_an_error_is_one_line() -> None:
    drawn = draw([*PIXELSERVE, "check", "/nowhere"])
    expected = "pixelserve check: There is no folder /nowhere. `pixelserve new NAME` writes one to start from.\n"
    assert drawn == expected


def test_what_comes_from_elsewhere_is_no_markup() -> None:
    drawn = show("console.print_error('pixelserve up', '[bold]a[/] :smile: [/nothing]')")
    assert drawn == "pixelserve up: [bold]a[/] :smile: [/nothing]\n"


def test_a_download_has_a_bar() -> None:
    drawn = show("with console.show_bytes('tiny') as show: show(500_000, 1_000_000); show(1_000_000, 1_000_000)")
    assert re.search(r"tiny ━+ 1\.0/1\.0 MB", drawn)


def test_of_items_the_failures_stay() -> None:
    drawn = show(
        "with console.show_items() as show:\n"
        "    show(1, 2, 'a.jpg: failed: no picture', True)\n"
        "    show(2, 2, 'b.jpg: 7 bytes', False)"
    )
    assert "1/2 a.jpg: failed: no picture\n" in drawn
    assert re.search(r"━+ 2/2 .*b\.jpg: 7 bytes", drawn)
    assert "2/2 b.jpg" not in drawn


def test_lines_of_a_long_work_fit_the_terminal() -> None:
    drawn = show("with console.show_lines('Building') as show: show('Step 1/2 : RUN ' + 'x' * 500); status = 1")
    assert "x" * 120 not in drawn


def test_without_rich_a_terminal_gets_plain_lines() -> None:
    program = (
        "import sys; sys.modules['rich.console'] = None\n"
        "console.print_table(('A', 'B'), [('1', '2')])\n"
        "console.print_error('pixelserve up', 'no')"
    )
    assert show(program) == "A  B\n1  2\npixelserve up: no\n"


def test_a_package_that_is_missing_is_told() -> None:
    program = (
        "import sys; sys.modules['docker'] = None\nfrom pixelserve_deploy import cli; sys.exit(cli.main(['build']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "pixelserve build: needs docker: in a clone, pip install '.[deploy]'\n"


def test_a_question_is_asked_on_a_terminal_and_ctrl_c_answers_it() -> None:
    program = (
        "from pixelserve.processes import Stop\n"
        "from pixelserve_deploy import console\n"
        "with Stop().listening() as stop:\n"
        "    print(console.confirm('Deploy it?', stop), flush=True)\n"
        "    try: console.confirm('And now?', stop)\n"
        "    except Exception as error: print(repr(error))\n"
    )
    ours, its = os.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.read(len("Deploy it? [y/N] ")) == "Deploy it? [y/N] "
        os.write(ours, b"Yes\n")
        assert process.stdout.readline() == "True\n"
        assert process.stderr.read(len("And now? [y/N] ")) == "And now? [y/N] "
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "Stopped('Stopped.')\n"
    os.close(ours)
    os.close(its)
    assert process.returncode == 0
