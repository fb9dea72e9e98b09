"""Reads what `--record-plans` writes (coordinator/plan_recorder.h)."""
import struct

from cluster import step_pb2

PLAN_SENT, RESULT_ARRIVED = 1, 2


def read_records(path):
    """(kind, step_id, nanoseconds, bytes of the plan)"""
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + 21 <= len(data):
        kind, step, when, length = struct.unpack_from("<BQQI", data, at)
        at += 21
        yield kind, step, when, data[at:at + length]
        at += length


def read_plans(path):
    return [step_pb2.StepPlan.FromString(payload)
            for kind, _, _, payload in read_records(path) if kind == PLAN_SENT]


def num_tenancies(plans):
    """How often a sequence was given a slot: once, and again after each preemption."""
    return sum(chunk.HasField("sampling") for plan in plans for chunk in plan.chunks)
