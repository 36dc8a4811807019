"""What a handler keeps between its stages and requests: globals, connections, loops, threads, processes."""

from __future__ import annotations

from oracle.case import CSV, JSON, RAW, TEXT, Case, send

CASES = {
    "globals_of_a_request": Case(
        "a global that input_fn sets and output_fn reads",
        """
        import json

        SIZE = None

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            global SIZE
            data = json.loads(body)
            SIZE = data["size"]
            return data["value"]

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return json.dumps({"size": SIZE, "value": prediction})
        """,
        (
            send('{"size": 1, "value": 10}'),
            send('{"size": 2, "value": 20}'),
            send('{"size": 3}'),
            send('{"size": 4, "value": 40}'),
        ),
    ),
    "globals_of_the_model": Case(
        "model_fn that fills a global and returns little",
        """
        LABELS = []

        def model_fn(model_dir):
            global device
            device = "cpu"
            LABELS.extend(["cat", "dog"])
            return True

        def predict_fn(data, model):
            return {"label": LABELS[int(data)], "device": device}
        """,
        (send("0"), send("1"), send("2"), send("0", CSV)),
    ),
    "lazy_model": Case(
        "a model that the first request loads",
        """
        _model = None
        loads = 0

        def model_fn(model_dir):
            return model_dir

        def get_model(model_dir):
            global _model, loads
            if _model is None:
                loads += 1
                with open(model_dir + "/bias.txt") as file:
                    _model = float(file.read())
            return _model

        def predict_fn(data, model):
            return {"value": float(data) + get_model(model), "loads": loads}
        """,
        (send("1"), send("2"), send("3", CSV), send("[1, 2]")),
        {"bias.txt": "0.5\n"},
    ),
    "counter": Case(
        "a count of requests: one worker has them all",
        """
        import itertools

        def model_fn(model_dir):
            return itertools.count(1)

        def predict_fn(data, model):
            return {"request": next(model)}
        """,
        (send("1"), send("1"), send("["), send("1")),
    ),
    "cache": Case(
        "functools.lru_cache around the model",
        """
        import functools

        def model_fn(model_dir):
            return None

        @functools.lru_cache(maxsize=8)
        def embed(text):
            return sum(map(ord, text))

        def input_fn(body, content_type):
            return str(body)

        def predict_fn(data, model):
            value = embed(data)
            return {"value": value, "hits": embed.cache_info().hits}
        """,
        (send("ab"), send("ab"), send("b", CSV), send("ab", CSV)),
    ),
    "generator_model": Case(
        "a model that is a generator, fed by send()",
        """
        def running_mean():
            total, count, mean = 0.0, 0, None
            while True:
                total, count = total + (yield mean), count + 1
                mean = total / count

        def model_fn(model_dir):
            model = running_mean()
            next(model)
            return model

        def predict_fn(data, model):
            return model.send(float(data))
        """,
        (send("1"), send("3"), send("5", CSV), send("7", JSON, CSV)),
    ),
    "class_model": Case(
        "a class of its own as the model, with __call__ and a context manager",
        """
        import contextlib

        class Net:
            def __init__(self, weight):
                self.weight, self.training = weight, True

            def eval(self):
                self.training = False
                return self

            @contextlib.contextmanager
            def frozen(self):
                yield self

            def __call__(self, data):
                return data * self.weight

        def model_fn(model_dir):
            return Net(3).eval()

        def predict_fn(data, model):
            with model.frozen() as net:
                return {"value": net(data), "training": net.training}
        """,
        (send("[1, 2]"), send("[[0.5]]", JSON, JSON), send("1,2", CSV), send("x", TEXT)),
    ),
    "sqlite": Case(
        "a connection of sqlite3, opened in model_fn",
        """
        import sqlite3

        def model_fn(model_dir):
            connection = sqlite3.connect(":memory:")
            connection.execute("create table seen (value real)")
            return connection

        def predict_fn(data, model):
            model.execute("insert into seen values (?)", (float(data),))
            return model.execute("select count(*), sum(value) from seen").fetchone()
        """,
        (send("1"), send("2.5"), send("3", CSV), send("4", JSON, CSV)),
    ),
    "sqlite_of_the_module": Case(
        "a connection of sqlite3, opened when the module is imported",
        """
        import json
        import sqlite3

        database = sqlite3.connect(":memory:")
        database.execute("create table labels (id integer, name text)")
        database.executemany("insert into labels values (?, ?)", [(0, "cat"), (1, "dog")])

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return database.execute("select name from labels where id = ?", (int(body),)).fetchone()

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            total = database.execute("select count(*) from labels").fetchone()
            return json.dumps([prediction[0], total[0]])
        """,
        (send("0"), send("1", CSV), send("9"), send("1", TEXT, TEXT)),
    ),
    "asyncio_run": Case(
        "asyncio.run in predict_fn",
        """
        import asyncio

        def model_fn(model_dir):
            return None

        async def score(value):
            await asyncio.sleep(0)
            return value * 2

        async def score_all(values):
            return await asyncio.gather(*(score(value) for value in values))

        def predict_fn(data, model):
            return asyncio.run(score_all(data.tolist()))
        """,
        (send("[1, 2]"), send("[]"), send("[1.5]", JSON, CSV), send("1,2", CSV)),
    ),
    "event_loop": Case(
        "an event loop made in model_fn, run in predict_fn",
        """
        import asyncio

        def model_fn(model_dir):
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            return loop

        async def double(value):
            await asyncio.sleep(0.001)
            return value * 2

        def predict_fn(data, model):
            assert asyncio.get_event_loop_policy().get_event_loop() is model
            return model.run_until_complete(double(float(data)))
        """,
        (send("1"), send("2"), send("x"), send("3", CSV)),
    ),
    "signals": Case(
        "signal.signal in model_fn, a time limit by SIGALRM in predict_fn",
        """
        import signal
        import time

        class TooLong(Exception):
            pass

        def on_alarm(number, frame):
            raise TooLong("took too long")

        def model_fn(model_dir):
            signal.signal(signal.SIGALRM, on_alarm)
            return None

        def predict_fn(data, model):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                time.sleep(float(data))
                return "in time"
            except TooLong:
                return "late"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        (send("0"), send("2"), send("0.001", CSV), send("5", JSON, JSON)),
    ),
    "main_thread": Case(
        "all stages on the process's main thread",
        """
        import json
        import threading

        def on_main():
            return threading.current_thread() is threading.main_thread()

        def model_fn(model_dir):
            return on_main()

        def input_fn(body, content_type):
            return [on_main()]

        def predict_fn(data, model):
            return [model, *data, on_main()]

        def output_fn(prediction, accept):
            return json.dumps([*prediction, on_main()])
        """,
        (send("1"), send("2"), send("3", CSV), send("4", RAW)),
    ),
    "thread_local": Case(
        "threading.local filled in model_fn",
        """
        import threading

        local = threading.local()

        def model_fn(model_dir):
            local.weight = 4
            return None

        def input_fn(body, content_type):
            return float(body) * local.weight

        def predict_fn(data, model):
            return data + local.weight
        """,
        (send("1"), send("2"), send("3", CSV), send("x")),
    ),
    "context_variable": Case(
        "contextvars set in model_fn and input_fn",
        """
        import contextvars

        mode = contextvars.ContextVar("mode", default="none")
        sent = contextvars.ContextVar("sent", default="nothing")

        def model_fn(model_dir):
            mode.set("loaded")
            return None

        def input_fn(body, content_type):
            sent.set(body)
            return body

        def predict_fn(data, model):
            return {"mode": mode.get(), "sent": sent.get()}
        """,
        (send("1"), send("2"), send("3", CSV), send("4", CSV, JSON)),
    ),
    "numpy_errors": Case(
        "numpy.seterr in model_fn, a FloatingPointError in predict_fn",
        """
        import numpy as np

        def model_fn(model_dir):
            np.seterr(all="raise")
            return None

        def predict_fn(data, model):
            try:
                return {"inverse": 1.0 / data}
            except FloatingPointError:
                return {"inverse": None}
        """,
        (send("[2.0]"), send("[0.0]"), send("4", CSV), send("0", CSV)),
    ),
    "thread_pool": Case(
        "a ThreadPoolExecutor made in model_fn",
        """
        from concurrent.futures import ThreadPoolExecutor

        def model_fn(model_dir):
            return ThreadPoolExecutor(4)

        def predict_fn(data, model):
            return list(model.map(lambda value: value ** 2, data.tolist()))
        """,
        (send("[1, 2, 3]"), send("[]"), send("1,2", CSV), send('["a"]')),
    ),
    "background_thread": Case(
        "a thread of the model's own, fed by a queue",
        """
        import queue
        import threading

        class Worker(threading.Thread):
            def __init__(self):
                super().__init__(daemon=True)
                self.work, self.done = queue.Queue(), queue.Queue()
                self.start()

            def run(self):
                while True:
                    self.done.put(self.work.get() + 1)

        def model_fn(model_dir):
            return Worker()

        def predict_fn(data, model):
            model.work.put(float(data))
            return model.done.get(timeout=10)
        """,
        (send("1"), send("2.5"), send("3", CSV), send("4", JSON, CSV)),
    ),
    "spawn_pool": Case(
        "a pool of spawned processes that call a function of the entry module",
        """
        import multiprocessing

        def square(value):
            return value * value

        def model_fn(model_dir):
            return multiprocessing.get_context("spawn")

        def predict_fn(data, model):
            with model.Pool(1) as pool:
                return pool.map(square, data.tolist())
        """,
        (send("[1, 2]"), send("[]"), send("3,4", CSV), send('["a"]')),
    ),
    "fork_pool": Case(
        "a pool of forked processes made in model_fn",
        """
        from concurrent.futures import ProcessPoolExecutor
        import multiprocessing

        TABLE = {}

        def look_up(key):
            return TABLE.get(key, -1)

        def model_fn(model_dir):
            TABLE.update({1: 10, 2: 20})
            return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))

        def predict_fn(data, model):
            return list(model.map(look_up, data.tolist()))
        """,
        (send("[1, 2]"), send("[3]"), send("2,1", CSV), send("[1]", JSON, CSV)),
    ),
    "fork": Case(
        "multiprocessing.Process with a pipe, for each request",
        """
        import multiprocessing

        def work(connection, value):
            connection.send(value + 1)
            connection.close()

        def model_fn(model_dir):
            return multiprocessing.get_context("fork")

        def predict_fn(data, model):
            ours, theirs = model.Pipe()
            process = model.Process(target=work, args=(theirs, float(data)))
            process.start()
            answer = ours.recv()
            process.join()
            return {"answer": answer, "code": process.exitcode}
        """,
        (send("1"), send("2"), send("3", CSV), send("4", JSON, JSON)),
    ),
    "subprocess": Case(
        "subprocess.run with the body on its standard input",
        """
        import subprocess
        import sys

        def model_fn(model_dir):
            return "print(input()[::-1])"

        def input_fn(body, content_type):
            return body if isinstance(body, str) else bytes(body).decode()

        def predict_fn(data, model):
            done = subprocess.run([sys.executable, "-c", model], input=data, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError("the program failed")
            return done.stdout

        def output_fn(prediction, accept):
            return prediction.strip(), "text/plain"
        """,
        (send("abc"), send("1,2", CSV), send("", TEXT), send("xyz", TEXT, TEXT)),
    ),
    "logging": Case(
        "logging and print in all functions",
        """
        import logging
        import sys

        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        logger = logging.getLogger(__name__)
        logger.addHandler(logging.StreamHandler(sys.stderr))

        def model_fn(model_dir):
            print("loading", model_dir, flush=True)
            return None

        def predict_fn(data, model):
            logger.info("predicting %s with %d%%", data.shape, 5)
            print("to standard error", file=sys.stderr)
            sys.stdout.write("ünïcode\\n")
            try:
                raise ValueError("logged")
            except ValueError:
                logger.exception("as expected")
            return data.size
        """,
        (send("[1]"), send("[1, 2]"), send("1,2,3", CSV), send("x")),
    ),
    "environment": Case(
        "environment variables: given, absent, set by the handler",
        """
        import os

        os.environ["OF_THE_MODULE"] = "set"
        THRESHOLD = float(os.environ.get("THRESHOLD", "0.5"))

        def model_fn(model_dir):
            os.environ["OF_THE_MODEL"] = "set too"
            return {"program": os.environ.get("SAGEMAKER_PROGRAM", "inference.py")}

        def input_fn(body, content_type):
            return os.getenv(body)

        def predict_fn(data, model):
            return {"value": data, "threshold": THRESHOLD, **model}
        """,
        (send("MODEL_KIND"), send("NO_SUCH_NAME"), send("OF_THE_MODULE"), send("OF_THE_MODEL", CSV)),
        environ={"THRESHOLD": "0.75", "MODEL_KIND": "größer"},
    ),
    "large_bodies": Case(
        "a body of a megabyte and more",
        """
        import json
        import zlib

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body.encode() if isinstance(body, str) else bytes(body)

        def predict_fn(data, model):
            return {"bytes": len(data), "crc": zlib.crc32(data)}

        def output_fn(prediction, accept):
            return json.dumps(prediction), "application/json"
        """,
        (
            send(b"\x00\x80\xff" * 500_000, RAW),
            send("[" + "1," * 200_000 + "1]"),
            send("1,2,3\n" * 100_000, CSV),
            send("é" * 600_000, TEXT),
        ),
    ),
    "large_answers": Case(
        "an answer of a megabyte",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return int(body)

        def predict_fn(data, model):
            return bytes(range(256)) * data

        def output_fn(prediction, accept):
            if accept == "text/plain":
                return prediction.hex(), accept
            return prediction, "application/octet-stream"
        """,
        (send("1"), send("5000"), send("20", JSON, TEXT), send("-1")),
    ),
}
