"""Stock clients: grpcio from our protos, a health probe, reflection."""
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import \
    ProtoReflectionDescriptorDatabase

from cluster import Cluster, health, inference_pb2, model_pb2, request


@pytest.fixture(scope="module")
def cluster():
    with Cluster(workers=2, coordinator_flags=["--tp", "2", "--reflection"]) as c:
        yield c


PROMPT = "Once upon a time there was a little"


def test_stream_equals_unary(cluster):
    r = request(PROMPT, max_tokens=40, logprobs=True, top_logprobs=3, return_token_ids=True)
    unary = cluster.inference.Generate(r)
    events = list(cluster.inference.GenerateStream(r))
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert events[0].WhichOneof("event") == "started"
    assert events[-1].WhichOneof("event") == "completed"
    deltas = [e.delta for e in events if e.WhichOneof("event") == "delta"]
    choice = unary.choices[0]
    assert "".join(d.text for d in deltas) == choice.text
    assert [i for d in deltas for i in d.token_ids] == list(choice.token_ids)
    assert [p for d in deltas for p in d.logprobs] == list(choice.logprobs)
    assert events[-1].completed.usage == unary.usage
    assert unary.usage.completion_tokens == 40


def test_prompt_and_text_are_the_whole_text(cluster):
    response = cluster.inference.Generate(request(PROMPT, max_tokens=20, return_token_ids=True))
    ids = list(cluster.inference.Tokenize(
        inference_pb2.TokenizeRequest(text=PROMPT)).token_ids)
    whole = cluster.inference.Detokenize(inference_pb2.DetokenizeRequest(
        token_ids=ids + list(response.choices[0].token_ids), skip_special_tokens=True)).text
    assert whole == PROMPT + response.choices[0].text


def test_token_ids_are_the_same_prompt(cluster):
    ids = list(cluster.inference.Tokenize(inference_pb2.TokenizeRequest(text=PROMPT)).token_ids)
    by_text = cluster.inference.Generate(request(PROMPT))
    by_ids = cluster.inference.Generate(request(ids))
    assert by_text.choices[0].text == by_ids.choices[0].text
    assert by_text.usage.prompt_tokens == len(ids)


def test_stop_string_is_cut_and_named(cluster):
    whole = cluster.inference.Generate(request(PROMPT, max_tokens=60)).choices[0].text
    stop = whole[30:36]
    response = cluster.inference.Generate(request(PROMPT, max_tokens=60, stop=[stop]))
    assert response.choices[0].text == whole[:whole.index(stop)]
    assert response.choices[0].finish_reason == inference_pb2.FINISH_REASON_STOP
    assert response.choices[0].stop_text == stop


def test_seed_repeats_and_is_reported(cluster):
    r = request(PROMPT, temperature=0.9, top_p=0.95, max_tokens=30)
    first = cluster.inference.Generate(r)
    r.sampling.seed = first.seed
    assert cluster.inference.Generate(r).choices[0].text == first.choices[0].text


def test_prompt_logprobs(cluster):
    response = cluster.inference.Generate(request(PROMPT, max_tokens=2, prompt_logprobs=2))
    scores = response.prompt.logprobs
    assert len(scores) == response.usage.prompt_tokens
    assert not scores[0].token.HasField("logprob")
    assert all(s.token.logprob < 0 and len(s.top) >= 2 for s in scores[1:])


def test_unsupported_field_is_named(cluster):
    with pytest.raises(grpc.RpcError) as error:
        cluster.inference.Generate(request(PROMPT, repetition_penalty=1.3))
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "repetition_penalty" in error.value.details()


def test_bad_value_has_details(cluster):
    with pytest.raises(grpc.RpcError) as error:
        cluster.inference.Generate(request(PROMPT, top_p=1.5))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "top_p" in error.value.details() and "1.5" in error.value.details()
    assert any(key == "grpc-status-details-bin" for key, _ in error.value.trailing_metadata())


def test_prompt_too_long_names_both_numbers(cluster):
    with pytest.raises(grpc.RpcError) as error:
        cluster.inference.Generate(request([5] * 600))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "600" in error.value.details() and "512" in error.value.details()


def test_cancel_frees_everything(cluster):
    for _ in range(20):
        stream = cluster.inference.GenerateStream(request(PROMPT, max_tokens=400, ignore_eos=True))
        next(stream)
        stream.cancel()
    deadline = time.monotonic() + 5
    while True:
        load = cluster.models.GetLoad(model_pb2.GetLoadRequest())
        if load.used_blocks == 0 and load.running_requests == 0:
            break
        assert time.monotonic() < deadline, load
        time.sleep(0.02)


def test_deadline_is_kept(cluster):
    with pytest.raises(grpc.RpcError) as error:
        list(cluster.inference.GenerateStream(
            request(PROMPT, max_tokens=480, ignore_eos=True), timeout=0.05))
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_models_and_server_info(cluster):
    models = cluster.models.ListModels(model_pb2.ListModelsRequest()).models
    assert [m.id for m in models] == ["tales-8m-awq"]
    model = cluster.models.GetModel(model_pb2.GetModelRequest())
    assert model.architecture == "LlamaForCausalLM" and model.quantization.group_size == 128
    assert model.max_model_len == 512
    info = cluster.models.GetServerInfo(model_pb2.GetServerInfoRequest())
    assert info.state == model_pb2.SERVER_STATE_READY
    assert [s.tp_size for s in info.layout.stages] == [2]


def test_unknown_model(cluster):
    with pytest.raises(grpc.RpcError) as error:
        cluster.inference.Generate(request(PROMPT, model="gpt-5"))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_probe(cluster):
    for service in ("", "quatrain.v1.InferenceService", "readiness", "liveness", "startup"):
        assert health(cluster.address, service) == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_services(cluster):
    database = ProtoReflectionDescriptorDatabase(cluster.channel)
    assert "quatrain.v1.InferenceService" in database.get_services()
    assert "quatrain.internal.v1.GroupService" not in database.get_services()
