/* Per packet: what IPVS sends to real servers and translates back. */
#ifdef HAVE_ipvs

/* __ip_vs_get_out_rt(ipvs, skb_af, skb, ...) < 0: no route. It runs for every packet. */
int route_enter(void *ctx)
{
	if (gate())
		remember(ctx, CALL_ROUTE, ARGUMENT(ctx, route_enter_skb), 0);
	return 0;
}

int route_return(void *ctx)
{
	struct call call;
	s32 result = (s32)RESULT(ctx);

	if (recall(ctx, CALL_ROUTE, &call) && result < 0)
		tell_unplaced(ctx, call.first, HOOK_IPVS_NO_ROUTE, -result);
	return 0;
}

/* Packet and connection of one translated packet. */
INLINE void tell_packet(void *ctx, u64 skb, u64 connection, u16 hook)
{
	struct settings *now = gate();
	struct viptrace_event e = {}, packet = {};

	if (!now)
		return;
	e.netns = netns_of_ipvs(connection);
	if (!netns_wanted(now, e.netns) || !read_packet(&packet, skb))
		return;
	read_ipvs(&e, connection);
	e.hook = hook;
	e.length = packet.length;
	e.seq = packet.seq;
	e.ack = packet.ack;
	e.tcp_flags = packet.tcp_flags;
	e.ttl = packet.ttl;
	e.ip_id = packet.ip_id;
	submit(ctx, &e);
}

/* ip_vs_nat_xmit(skb, cp, ...) and its siblings: every packet to a real server. */
int ipvs_sent(void *ctx)
{
	tell_packet(ctx, ARGUMENT(ctx, ipvs_sent_skb), ARGUMENT(ctx, ipvs_sent_cp), HOOK_IPVS_SENT);
	return 0;
}

/* tcp_snat_handler(skb, pp, cp, ...) and its siblings: every packet back. */
int ipvs_reply(void *ctx)
{
	tell_packet(ctx, ARGUMENT(ctx, ipvs_reply_skb), ARGUMENT(ctx, ipvs_reply_cp),
		    HOOK_IPVS_REPLY);
	return 0;
}
#endif
