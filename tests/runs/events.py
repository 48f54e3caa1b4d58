"""TensorBoard's files, read back by their framing and tensorboardX's messages."""

import struct

from tensorboardX.proto.event_pb2 import Event


def read_events(workdir):
    """Scalars by (tag, step), each as often as it stands there, and images by tag."""
    scalars, images = [], {}
    for file in sorted((workdir / "tensorboard").iterdir()):
        content, position = file.read_bytes(), 0
        while position < len(content):
            # A record is its length and a checksum, then itself and a checksum.
            (length,) = struct.unpack_from("<Q", content, position)
            event = Event.FromString(content[position + 12 : position + 12 + length])
            position += length + 16
            for value in event.summary.value:
                if value.HasField("image"):
                    images[value.tag] = value.image
                else:
                    scalars.append((value.tag, event.step, value.simple_value))
    return scalars, images
