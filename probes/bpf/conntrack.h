/* The two tuples of a conntrack entry, as one translation. */
#ifdef HAVE_conntrack

enum {
	STATUS_SEEN_REPLY = 1 << 1,
	STATUS_ASSURED = 1 << 2,
	STATUS_CONFIRMED = 1 << 3,
	STATUS_SRC_NAT = 1 << 4,
	STATUS_DST_NAT = 1 << 5,
};

/* struct nf_conntrack_tuple: its 40 bytes are checked against BTF. */
struct tuple {
	u32 src[4];
	u16 src_port; /* ICMP: identifier */
	u16 family;
	u32 dst[4];
	u16 dst_port; /* ICMP: type and code */
	u8 protocol;
	u8 direction;
};

INLINE u64 conntrack_of(u64 skb)
{
	u64 nfct = 0;

#ifdef OFF_sk_buff__nfct
	FIELD(nfct, skb, sk_buff__nfct);
#endif
	return nfct & ~7ULL;
}

INLINE bool has_no_ports(u8 protocol)
{
	return protocol == IP_ICMP || protocol == IP_ICMPV6;
}

INLINE void read_tuple_before(struct viptrace_event *e, u64 tuple)
{
	struct tuple t = {};

	READ_KERNEL(&t, sizeof(t), (const void *)tuple);
	e->family = t.family;
	e->protocol = t.protocol;
	map_address(e->src, t.src, t.family);
	map_address(e->dst, t.dst, t.family);
	e->src_port = t.src_port;
	e->dst_port = has_no_ports(t.protocol) ? t.src_port : t.dst_port;
}

/* "after" is the mirror of the reply tuple. IPVS alters that tuple without setting
 * the NAT status bits, so the tuples decide, never the bits. */
INLINE void read_tuple_after(struct viptrace_event *e, u64 tuple)
{
	struct tuple t = {};

	READ_KERNEL(&t, sizeof(t), (const void *)tuple);
	map_address(e->nat_src, t.dst, t.family);
	map_address(e->nat_dst, t.src, t.family);
	e->nat_src_port = has_no_ports(t.protocol) ? t.src_port : t.dst_port;
	e->nat_dst_port = t.src_port;
	e->flags |= FLAG_AFTER;
}

INLINE u32 netns_of_conntrack(u64 ct)
{
	u64 net = 0;

	FIELD(net, ct, nf_conn_ct_net);
	return inode_of(net);
}

INLINE u64 status_of_conntrack(u64 ct)
{
	u64 status = 0;

	FIELD(status, ct, nf_conn_status);
	return status;
}

#define TUPLE_OF(ct, direction) ((ct) + OFF_nf_conn_tuplehash + \
	(direction) * (SIZE_nf_conn_tuplehash / 2) + OFF_nf_conntrack_tuple_hash_tuple)

INLINE void read_conntrack(struct viptrace_event *e, u64 ct)
{
	u64 status = status_of_conntrack(ct);

	e->cookie = ct;
	read_tuple_before(e, TUPLE_OF(ct, 0));
	read_tuple_after(e, TUPLE_OF(ct, 1));
	if (status & STATUS_SEEN_REPLY)
		e->flags |= FLAG_REPLIED;
	if (status & STATUS_ASSURED)
		e->flags |= FLAG_ASSURED;
	if (status & STATUS_SRC_NAT)
		e->flags |= FLAG_SRC_NAT;
	if (status & STATUS_DST_NAT)
		e->flags |= FLAG_DST_NAT;
}
#endif
