"""SRTP on both sides, another suite and other keys on each."""

import pytest

import checks
from conftest import close_shared, make_world, need_daemon
from sdes import Sdes
from test_failover import lost
from test_sdes import config
from test_srtp import authentic, crash, no_index_twice

BOTH = """
sdes-profile "core1" {
	crypto-list = {AES_256_CM_HMAC_SHA1_80}
	allow-insecure-keying = enabled
}

media-sec-policy "core" {
	inbound { mode = srtp  profile = core1 }
	outbound { mode = srtp  profile = core1 }
}
"""


@pytest.fixture
def both(tmp_path_factory):
    """Another suite on each side, another key on each leg."""
    need_daemon()
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    conf.write_text(config().replace(
        'realm "core" {', 'realm "core" {\n\tmedia-sec-policy = core') +
        BOTH)
    world = make_world(tmp_path_factory, "both", conf=str(conf))
    world.peers()
    world.watch = world.observer()
    world.srtp = world.srtp_watch(sides=("core", "cloud"))
    world.ua["core"].sdes = Sdes("AES_256_CM_HMAC_SHA1_80",
                                 watch=world.srtp)
    world.ua["cloud"].sdes = Sdes(watch=world.srtp)
    yield world
    world.close()


def test_srtp_on_both_sides(both):
    """Indexes of both outgoing keys, over crashes and a switchover."""
    pairs = both.establish(3) + both.establish(3, frm="cloud")
    both.wait_media(pairs)
    for _ in range(2):
        dead, _ = crash(both)
        both.wait_media(pairs)
        authentic(both.listen(2))
        both.lab.start(dead)
    both.settled(30)
    both.media_reset()
    both.lab.switchover()
    both.settled(30)
    totals = both.listen(1)
    assert lost(totals) == 0, totals
    authentic(totals)
    both.hang_up(pairs)
    checks.one_owner(both.watch)
    no_index_twice(both)
