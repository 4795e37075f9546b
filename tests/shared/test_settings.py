import pytest

from shared.settings import BadSetting, load


def test_a_misspelt_setting_stops_the_start():
    with pytest.raises(BadSetting, match="NGUONTHU_BASEURL"):
        load({"NGUONTHU_BASEURL": "x"})


def test_a_secret_can_come_from_a_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s" * 40 + "\n")
    assert load({"NGUONTHU_SECRET_FILE": str(path)}).secret == "s" * 40


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "demo secrets"),
        ({"NGUONTHU_SECRET": "s" * 40, "NGUONTHU_POSTGRES_PASSWORD": "p" * 20}, "VNPay simulator"),
        ({"NGUONTHU_SECRET": "short"}, "32 characters"),
    ],
)
def test_production_refuses_demo_secrets_and_simulators(changes, says):
    with pytest.raises(BadSetting, match=says):
        load({"NGUONTHU_PRODUCTION": "true", **changes})


def test_a_value_of_the_wrong_kind_is_named():
    with pytest.raises(BadSetting, match="NGUONTHU_NATS_REPLICAS='three'"):
        load({"NGUONTHU_NATS_REPLICAS": "three"})
