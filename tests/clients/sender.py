"""Events as the cloudevents SDK of today (2.x) sends them, each in the binary and in the structured mode. Prints pairs of
headers and body as JSON.

A program of its own: the product holds an older SDK. Its argument: JSON, a list of attributes and data.
"""

from __future__ import annotations

import json
import sys

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

form = JSONFormat()
events = [CloudEvent(attributes=one["attributes"], data=one["data"]) for one in json.loads(sys.argv[1])]
sent = [write(event, form) for event in events for write in (to_binary, to_structured)]
print(json.dumps([[one.headers, one.body.decode()] for one in sent]))
