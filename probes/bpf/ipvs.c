/* IPVS: connections made, refused and freed. */
#ifdef HAVE_ipvs

enum {
	CONNECTION_TEMPLATE = 0x1000, /* persistence memory, not a flow */
};

INLINE u32 netns_of_ipvs(u64 connection)
{
	u64 ipvs = 0, net = 0;

	FIELD(ipvs, connection, ip_vs_conn_ipvs);
	if (ipvs)
		FIELD(net, ipvs, netns_ipvs_net);
	return inode_of(net);
}

/* before = client -> virtual server, after = client -> real server. */
INLINE void read_ipvs(struct viptrace_event *e, u64 connection)
{
	u32 raw[4] = {};
	u32 flags = 0;
	u16 family = 0, protocol = 0;

	INTEGER(family, connection, ip_vs_conn_af);
	FIELD(protocol, connection, ip_vs_conn_protocol);
	FIELD(flags, connection, ip_vs_conn_flags);
	e->family = family;
	e->protocol = protocol;
	e->cookie = connection;
	e->detail = flags;
	FIELD(raw, connection, ip_vs_conn_caddr);
	map_address(e->src, raw, family);
	map_address(e->nat_src, raw, family);
	FIELD(raw, connection, ip_vs_conn_vaddr);
	map_address(e->dst, raw, family);
	/* A tunnel may carry one family over the other; the real server's own wins. */
	FIELD(raw, connection, ip_vs_conn_daddr);
#ifdef OFF_ip_vs_conn_daf
	INTEGER(family, connection, ip_vs_conn_daf);
#endif
	map_address(e->nat_dst, raw, family);
	FIELD(e->src_port, connection, ip_vs_conn_cport);
	FIELD(e->nat_src_port, connection, ip_vs_conn_cport);
	FIELD(e->dst_port, connection, ip_vs_conn_vport);
	FIELD(e->nat_dst_port, connection, ip_vs_conn_dport);
	e->flags |= FLAG_AFTER | FLAG_IPVS;
}

INLINE void tell_ipvs(void *ctx, u64 connection, u16 hook)
{
	struct settings *now = gate();
	struct viptrace_event e = {};

	if (!now || !connection)
		return;
	e.netns = netns_of_ipvs(connection);
	if (!netns_wanted(now, e.netns))
		return;
	read_ipvs(&e, connection);
	if (e.detail & CONNECTION_TEMPLATE)
		return;
	e.hook = hook;
	if (hook == HOOK_IPVS_NEW)
		learn(e.nat_dst);
	submit(ctx, &e);
}

/* ip_vs_conn_new returns the connection, or NULL without memory (ip_vs_schedule then fails). */
int ipvs_new(void *ctx)
{
	tell_ipvs(ctx, RESULT(ctx), HOOK_IPVS_NEW);
	return 0;
}

/* ip_vs_conn_rcu_free(rcu_head): final, whereas ip_vs_conn_expire may re-arm. */
int ipvs_end(void *ctx)
{
	tell_ipvs(ctx, ARGUMENT(ctx, ipvs_end_head) - OFF_ip_vs_conn_callback_head, HOOK_IPVS_END);
	return 0;
}

/* A virtual server had a packet and could not place it: always wanted. */
INLINE void tell_unplaced(void *ctx, u64 skb, u16 hook, u64 reason)
{
	struct settings *now = gate();
	struct viptrace_event e = {};

	if (!now || !read_packet(&e, skb))
		return;
	read_place(&e, skb, 0);
	if (!netns_wanted(now, e.netns))
		return;
	e.hook = hook;
	e.flags |= FLAG_IPVS;
	e.reason = reason;
	submit(ctx, &e);
}

/* ip_vs_leave(svc, skb, ...): called when a virtual server has no usable destination. */
int ipvs_no_destination(void *ctx)
{
	tell_unplaced(ctx, ARGUMENT(ctx, ipvs_no_destination_skb), HOOK_IPVS_NO_DEST, 0);
	return 0;
}

/* ip_vs_schedule(svc, skb, pd, ignored, iph): NULL with *ignored < 0 is a failure;
 * 0 goes on to ip_vs_leave, 1 means that the packet was none of its business. */
int schedule_enter(void *ctx)
{
	if (gate())
		remember(ctx, CALL_SCHEDULE, ARGUMENT(ctx, schedule_enter_skb),
			 ARGUMENT(ctx, schedule_enter_ignored));
	return 0;
}

int schedule_return(void *ctx)
{
	struct call call;
	s32 ignored = 0;

	if (!recall(ctx, CALL_SCHEDULE, &call) || RESULT(ctx))
		return 0;
	READ_KERNEL(&ignored, sizeof(ignored), (const void *)call.second);
	if (ignored < 0)
		tell_unplaced(ctx, call.first, HOOK_IPVS_FAILED, -ignored);
	return 0;
}
#endif
