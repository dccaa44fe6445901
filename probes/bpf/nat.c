/* Conntrack: mappings decided, confirmed, refused and destroyed. */
#ifdef HAVE_conntrack

/* Which engine evaluates NAT for an unconfirmed entry, and what it chose. */
struct engines {
	u16 last;
	u16 dst;
	u16 src;
	u16 spare;
};
BPF_TABLE("lru_hash", u64, struct engines, engines, 8192);

INLINE void note_engine(u64 skb, u16 flag)
{
	u64 ct = conntrack_of(skb);
	struct engines fresh = { .last = flag }, *known;

	if (!ct)
		return;
	known = engines.lookup(&ct);
	if (known)
		known->last = flag;
	else
		engines.update(&ct, &fresh);
}

/* xt_dnat_target_v2, masquerade_tg and the like (skb, par): the nat table sees only
 * the first packet of a connection. */
int note_xtables(void *ctx)
{
	if (gate())
		note_engine(ARGUMENT(ctx, note_xtables_skb), FLAG_IPTABLES);
	return 0;
}

#ifdef HAVE_nft
/* nft_nat_eval and the like (expr, regs, pkt): nat chains see only first packets. */
int note_nftables(void *ctx)
{
	u64 skb = 0;

	if (!gate())
		return 0;
	FIELD(skb, ARGUMENT(ctx, note_nftables_pkt), nft_pktinfo_skb);
	note_engine(skb, FLAG_NFTABLES);
	return 0;
}
#endif

#ifdef HAVE_nat
/* nf_nat_setup_info(ct, range, maniptype): once for each kind of NAT of a new
 * connection. A null binding asks for the address that is there already: nothing
 * is decided, so nothing is told. */
int nat_decided(void *ctx)
{
	struct settings *now = gate();
	u64 ct, range;
	u32 flags = 0, source_manip;
	u32 raw[4] = {};
	u64 chosen[2] = {};
	u16 port = 0;
	struct engines *engine;
	struct viptrace_event e = {};

	if (!now)
		return 0;
	ct = ARGUMENT(ctx, nat_decided_ct);
	range = ARGUMENT(ctx, nat_decided_range);
	source_manip = (u32)ARGUMENT(ctx, nat_decided_maniptype) == 0;
	e.netns = netns_of_conntrack(ct);
	if (!netns_wanted(now, e.netns))
		return 0;
	read_conntrack(&e, ct);
	FIELD(flags, range, nf_nat_range2_flags);
	FIELD(port, range, nf_nat_range2_min_proto);
	FIELD(raw, range, nf_nat_range2_min_addr);
	map_address(chosen, raw, e.family);
	if (flags == 1 /* NF_NAT_RANGE_MAP_IPS */ &&
	    same_address(chosen, source_manip ? e.nat_src : e.nat_dst))
		return 0;
	if (flags & 1)
		copy_address(source_manip ? e.nat_src : e.nat_dst, chosen);
	if (flags & 2 /* NF_NAT_RANGE_PROTO_SPECIFIED */) {
		if (source_manip)
			e.nat_src_port = port;
		else
			e.nat_dst_port = port;
	}
	engine = engines.lookup(&ct);
	if (engine) {
		e.flags |= engine->last;
		if (source_manip)
			engine->src = engine->last;
		else
			engine->dst = engine->last;
	}
	e.hook = HOOK_NAT_DECIDED;
	e.reason = source_manip ? 0 : 1;
	e.detail = flags;
	submit(ctx, &e);
	return 0;
}
#endif

/* __nf_conntrack_confirm(skb), after POSTROUTING or INPUT: here the mapping is
 * final. Its caller asks first whether the entry is confirmed already, so this
 * runs once for a connection. Told at return, when it is known whether the entry
 * went in. */
int confirm_enter(void *ctx)
{
	struct settings *now = gate();
	u64 skb, ct;

	if (!now)
		return 0;
	skb = ARGUMENT(ctx, confirm_enter_skb);
	ct = conntrack_of(skb);
	if (ct && netns_wanted(now, netns_of_conntrack(ct)))
		remember(ctx, CALL_CONFIRM, skb, ct);
	return 0;
}

/* Whether routing gave this packet to this machine's own sockets. */
INLINE bool is_for_this_machine(const struct viptrace_event *e, u64 skb)
{
	u32 flags = 0;

#if defined(HAVE_route) && defined(OFF_sk_buff__skb_refdst)
	u64 dst = 0;

	FIELD(dst, skb, sk_buff__skb_refdst);
	dst &= ~1ULL;
	if (!dst)
		return false;
	if (e->family == FAMILY_IPV4)
		FIELD(flags, dst, rtable_rt_flags);
	else
		FIELD(flags, dst, rt6_info_rt6i_flags);
#endif
	return flags & 0x80000000; /* RTCF_LOCAL and RTF_LOCAL */
}

INLINE u16 engine_of(u64 ct, const struct viptrace_event *e, u64 skb)
{
	struct engines *known = engines.lookup(&ct);
	u16 flags = 0;

	if (known) {
		flags = known->dst ? known->dst : known->src;
		engines.delete(&ct);
	}
#ifdef OFF_sk_buff_ipvs_property
	{
		u8 bits = 0; /* IPVS marks the packets it has translated */

		FIELD(bits, skb, sk_buff_ipvs_property);
		if (bits >> BIT_sk_buff_ipvs_property & 1)
			flags |= FLAG_IPVS;
	}
#endif
	return flags;
}

int confirm_return(void *ctx)
{
	struct settings *now = gate();
	struct viptrace_event e = {};
	struct call call;
	u32 verdict = (u32)RESULT(ctx);

	if (!now || !recall(ctx, CALL_CONFIRM, &call))
		return 0;
	/* A clash was resolved: the packet goes on with the winner's entry. */
	if (verdict == 1 && conntrack_of(call.first) != call.second)
		return 0;
	e.netns = netns_of_conntrack(call.second);
	read_conntrack(&e, call.second);
	e.flags |= engine_of(call.second, &e, call.first);
	e.hook = verdict == 1 /* NF_ACCEPT */ ? HOOK_CT_NEW : HOOK_CT_FAILED;
	e.reason = verdict;
	if (is_translated(&e)) {
		learn(e.nat_dst);
		submit(ctx, &e);
	} else if (wanted(now, &e, false)) {
		submit(ctx, &e);
		if (verdict == 1 && is_for_this_machine(&e, call.first)) {
			e.hook = HOOK_LOCAL_IN;
			e.reason = 0;
			submit(ctx, &e);
		}
	}
	return 0;
}

/* __nf_conntrack_alloc(net, zone, orig, ...): an error pointer when the table is full. */
int alloc_enter(void *ctx)
{
	struct settings *now = gate();
	u64 net;

	if (!now)
		return 0;
	net = ARGUMENT(ctx, alloc_enter_net);
	if (netns_wanted(now, inode_of(net)))
		remember(ctx, CALL_ALLOC, net, ARGUMENT(ctx, alloc_enter_orig));
	return 0;
}

int alloc_return(void *ctx)
{
	struct settings *now = gate();
	struct viptrace_event e = {};
	struct call call;
	s64 result = (s64)RESULT(ctx);

	if (!now || !recall(ctx, CALL_ALLOC, &call) || result >= 0 || result < -4095)
		return 0;
	e.hook = HOOK_CT_FULL;
	e.netns = inode_of(call.first);
	e.reason = (u16)-result;
	read_tuple_before(&e, call.second);
	if (wanted(now, &e, false))
		submit(ctx, &e);
	return 0;
}

#if defined(OFF_nf_conn_ext) && defined(OFF_nf_ct_ext_offset) && defined(EXT_ACCT) && \
	defined(OFF_nf_conn_acct_counter)
/* nf_conn_acct: packets and bytes of the original and the reply direction. */
INLINE void read_counters(struct viptrace_event *e, u64 ct)
{
	u64 extension = 0, counters_read[4] = {};
	u64 original, reply;
	/* offsets were u8 before they became u16: as wide as BTF says */
	u16 wide = 0;
	u8 narrow = 0;

	FIELD(extension, ct, nf_conn_ext);
	if (!extension)
		return;
	if (EXT_OFFSET_BYTES == 1) {
		READ_KERNEL(&narrow, 1, (const void *)(extension + OFF_nf_ct_ext_offset + EXT_ACCT));
		wide = narrow;
	} else {
		READ_KERNEL(&wide, 2,
			    (const void *)(extension + OFF_nf_ct_ext_offset + 2 * EXT_ACCT));
	}
	if (!wide)
		return;
	FIELD(counters_read, extension + wide, nf_conn_acct_counter);
	e->seq = (u32)counters_read[0];
	e->ack = (u32)counters_read[2];
	original = counters_read[1] > 0xffffffff ? 0xffffffff : counters_read[1];
	reply = counters_read[3] > 0xffffffff ? 0xffffffff : counters_read[3];
	e->detail = reply << 32 | original;
}
#endif

/* nf_ct_destroy(nfct) since 5.17, destroy_conntrack before: the last reference is
 * gone. nf_conn begins with the nf_conntrack that is handed in. */
int conntrack_end(void *ctx)
{
	struct settings *now = gate();
	struct viptrace_event e = {};
	u64 ct;

	if (!now)
		return 0;
	ct = ARGUMENT(ctx, conntrack_end_nfct);
	if (!(status_of_conntrack(ct) & STATUS_CONFIRMED))
		return 0;
	e.netns = netns_of_conntrack(ct);
	if (!netns_wanted(now, e.netns))
		return 0;
	read_conntrack(&e, ct);
	if (!wanted(now, &e, is_translated(&e)))
		return 0;
	e.hook = HOOK_CT_END;
#if defined(OFF_nf_conn_ext) && defined(OFF_nf_ct_ext_offset) && defined(EXT_ACCT) && \
	defined(OFF_nf_conn_acct_counter)
	read_counters(&e, ct);
#endif
	submit(ctx, &e);
	return 0;
}
#endif
