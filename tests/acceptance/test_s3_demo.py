"""`make run-s3`: its configuration is the demo's, and the server that it starts comes back with its data."""

from __future__ import annotations

from pathlib import Path

import obstore
import yaml

ROOT = Path(__file__).parents[2]


def test_the_demo_in_a_bucket_differs_from_the_demo_only_in_where_it_writes():
    demo, in_bucket = (yaml.safe_load((ROOT / "configs" / name).read_text()) for name in ("demo.yml", "demo_s3.yml"))
    assert in_bucket.pop("storage").keys() == {"endpoint", "region", "access_key_id", "secret_access_key"}
    assert in_bucket["output"].pop("base_path").startswith("s3://")
    demo["output"].pop("base_path")
    assert in_bucket == demo


def test_a_server_that_is_killed_comes_back_with_its_data_at_the_same_address(seaweed):
    obstore.put(seaweed.bucket, "kept", b"x" * 10_000)
    address = seaweed.address
    seaweed.kill()
    seaweed.restart()
    assert seaweed.address == address
    assert bytes(obstore.get(seaweed.bucket, "kept").bytes()) == b"x" * 10_000
