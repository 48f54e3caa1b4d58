"""A run for TensorBoard. The only module that imports tensorboardX."""

import importlib
import json
import pathlib
import shutil
import struct
import time
import zlib
from typing import Any

from tensorboardX.event_file_writer import EventsWriter

from jboltz import seals

# Protobuf makes these classes at run time: an import statement names what no type
# checker can find.
Event = importlib.import_module("tensorboardX.proto.event_pb2").Event
Summary = importlib.import_module("tensorboardX.proto.summary_pb2").Summary


class Events:
    """The events of a workdir, in its folder tensorboard/: a second form of its files.

    Every number of metrics.jsonl is a scalar STAGE/METRIC at its epoch, every figure an
    image. A process writes them all anew, so that what a resumed run shows is what
    its files hold, each epoch once.
    """

    def __init__(self, workdir: pathlib.Path) -> None:
        self._workdir = workdir
        folder = workdir / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # The synchronous writer: what `update` wrote is on disk when it returns.
        self._writer = EventsWriter(str(folder / "events"))
        self._written: set[tuple[str, int]] = set()
        self.update()

    def update(self) -> None:
        """Writes what the files hold by now and the events do not."""
        metrics = seals.load(self._workdir, "metrics.jsonl") or b""
        for line in metrics.decode().splitlines():
            record = json.loads(line)
            stage, epoch = record.pop("stage"), record.pop("epoch")
            if self._is_new(stage, epoch):
                for name, value in record.items():
                    self._write(epoch, tag=f"{stage}/{name}", simple_value=value)
        for file in sorted((self._workdir / "figures").glob("*.png")):
            image = seals.load(self._workdir, f"figures/{file.name}")
            if image is not None and self._is_new(file.name, zlib.crc32(image)):
                self._write(0, tag=f"figures/{file.stem}", image=_picture(image))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, step: int, **value: Any) -> None:
        summary = Summary(value=[Summary.Value(**value)])
        event = Event(wall_time=time.time(), step=step, summary=summary)
        self._writer.write_event(event)

    def _is_new(self, name: str, version: int) -> bool:
        new = (name, version) not in self._written
        self._written.add((name, version))
        return new


def _picture(png: bytes) -> Any:
    """The file as it is: its width and height stand in its header."""
    width, height = struct.unpack(">II", png[16:24])
    return Summary.Image(
        width=width,
        height=height,
        colorspace=4,  # RGBA, as matplotlib writes.
        encoded_image_string=png,
    )
