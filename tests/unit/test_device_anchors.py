"""Which measurements calibrate a group: fixed by rule, never by result."""

from __future__ import annotations

from fedlite.devices.anchors import batch_order, inference_order


def test_mobilenet_comes_first_then_resnet18_then_mobilenet_v3():
    names = ["vgg16", "mobilenetv3", "resnet18", "mobilenet", "squeezenet"]
    order = inference_order(names, [5.0, 1.0, 4.0, 3.0, 2.0])
    assert [names[index] for index in order[:3]] == ["mobilenet", "resnet18", "mobilenetv3"]


def test_without_a_mobilenet_the_median_net_comes_first():
    names = ["vgg16", "alexnet", "squeezenet"]
    assert names[inference_order(names, [15.0, 7.0, 4.0])[0]] == "alexnet"


def test_mobilenet_v2_and_small_v3_do_not_pass_for_mobilenet_v1():
    names = ["mobilenetv2", "mobilenetv3small", "googlenet"]
    order = inference_order(names, [3.0, 1.0, 9.0])
    assert names[order[0]] == "mobilenetv2"  # by median size, not by name
    names = ["mobilenetv2", "mobilenetv3large", "mobilenet"]
    assert names[inference_order(names, [3.0, 1.0, 9.0])[0]] == "mobilenet"


def test_order_holds_every_measurement_once():
    names = ["a", "b", "resnet8", "dscnn", "a"]
    assert sorted(inference_order(names, [1.0, 2.0, 3.0, 4.0, 1.0])) == [0, 1, 2, 3, 4]


def test_batches_16_and_1_anchor_a_training_curve():
    batches = [1, 2, 4, 8, 16, 32]
    assert [batches[index] for index in batch_order(batches)[:2]] == [16, 1]


def test_large_batches_alone_still_anchor():
    assert sorted(batch_order([32, 64])) == [0, 1]


def test_stand_ins_anchor_last():
    names = ["mobilenetv1", "squeezenet", "vgg16"]
    order = inference_order(names, [1.0, 2.0, 3.0], layered=[False, True, True])
    assert [names[index] for index in order] == ["squeezenet", "vgg16", "mobilenetv1"]
