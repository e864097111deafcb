/*
 * Steers the ports of the steering pools to the sockets of the shards.
 *
 * The object is loaded once per NIC; user space fills in the constants and
 * the maps before attaching. Needs kernel 5.17 (ingress_ifindex).
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
	SHARDS_MAX = 64,
	ADDRS_MAX = 32,
	RANGES_MAX = 8,
};

/* IPv4 as ::ffff:a.b.c.d, network order. */
struct anyport_key {
	__u32 addr[4];
};

struct anyport_range {
	__u16 lo;
	__u16 hi;
};

/* Unused ranges have lo > hi. */
struct anyport_value {
	struct anyport_range range[RANGES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ADDRS_MAX);
	__type(key, struct anyport_key);
	__type(value, struct anyport_value);
} addrs SEC(".maps");

/* IPv4 shards first, IPv6 shards from SHARDS_MAX on. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2 * SHARDS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

const volatile __u32 ifindex = 0;
const volatile __u32 shards = 1;

/*
 * The verifier wants loads at fixed offsets of the context; volatile keeps
 * the compiler from merging those of the two branches into one.
 */
#define CTX(field) (*(volatile __u32 *)&ctx->field)

SEC("sk_lookup")
int anyport(struct bpf_sk_lookup *ctx)
{
	__u32 ip4 = CTX(local_ip4);
	__u32 ip6_0 = CTX(local_ip6[0]), ip6_1 = CTX(local_ip6[1]);
	__u32 ip6_2 = CTX(local_ip6[2]), ip6_3 = CTX(local_ip6[3]);
	__u32 port = ctx->local_port;
	struct anyport_key key = {};
	struct anyport_value *value;
	struct bpf_sock *sk;
	__u32 base = 0;

	if (ctx->protocol != IPPROTO_UDP || ctx->ingress_ifindex != ifindex)
		return SK_PASS;
	if (ctx->family == FAMILY_INET) {
		key.addr[2] = bpf_htonl(0xffff);
		key.addr[3] = ip4;
	} else if (ctx->family == FAMILY_INET6) {
		key.addr[0] = ip6_0;
		key.addr[1] = ip6_1;
		key.addr[2] = ip6_2;
		key.addr[3] = ip6_3;
		base = SHARDS_MAX;
	} else {
		return SK_PASS;
	}
	value = bpf_map_lookup_elem(&addrs, &key);
	if (!value)
		return SK_PASS;
	for (int i = 0; i < RANGES_MAX; i++) {
		__u32 lo = value->range[i].lo;

		if (port >= lo && port <= value->range[i].hi) {
			/* netif_anyport_shard() */
			__u32 slot = base + ((port - lo) >> 2) % shards;

			sk = bpf_map_lookup_elem(&socks, &slot);
			if (!sk)
				return SK_PASS;
			/* The shards of a family share one bound port. */
			bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
			bpf_sk_release(sk);
			return SK_PASS;
		}
	}
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";
