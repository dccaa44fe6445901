/* Refusals and drops, in whatever namespace they happen. */

/* An entry of the packet's connection whose translation concerns us. */
INLINE bool in_translated_connection(u64 skb)
{
#ifdef HAVE_conntrack
	u64 ct = conntrack_of(skb);
	struct viptrace_event e = {};

	if (!ct)
		return false;
	read_conntrack(&e, ct);
	return is_translated(&e);
#else
	return false;
#endif
}

INLINE void tell_refusal(void *ctx, u64 skb, u64 socket, u16 hook, u64 detail)
{
	struct settings *now = gate();
	struct viptrace_event e = {};

	if (!now || !read_packet(&e, skb))
		return;
	if (!wanted(now, &e, false) && !in_translated_connection(skb))
		return;
	/* No reset answers a reset. */
	if (hook == HOOK_RST_SENT && (e.tcp_flags & 4))
		return;
	read_place(&e, skb, socket);
	e.hook = hook;
	e.detail = detail;
	submit(ctx, &e);
}

/* __icmp_send(skb_in, type, code, ...): "before" is the packet that is refused. */
int icmp_sent(void *ctx)
{
	tell_refusal(ctx, ARGUMENT(ctx, icmp_sent_skb_in), 0, HOOK_ICMP_SENT,
		     (ARGUMENT(ctx, icmp_sent_type) & 0xff) << 8 | (ARGUMENT(ctx, icmp_sent_code) & 0xff));
	return 0;
}

/* icmp6_send(skb, type, code, ...). */
int icmp6_sent(void *ctx)
{
	tell_refusal(ctx, ARGUMENT(ctx, icmp6_sent_skb), 0, HOOK_ICMP_SENT,
		     (ARGUMENT(ctx, icmp6_sent_type) & 0xff) << 8 | (ARGUMENT(ctx, icmp6_sent_code) & 0xff));
	return 0;
}

/* tcp_v4_send_reset(sk, skb), tcp_v6_send_reset: sk may be NULL, skb->dev too. */
int reset_sent(void *ctx)
{
	tell_refusal(ctx, ARGUMENT(ctx, reset_sent_skb), ARGUMENT(ctx, reset_sent_sk), HOOK_RST_SENT, 0);
	return 0;
}

/* nf_send_reset(net, sk, oldskb, hook): REJECT --reject-with tcp-reset. */
int reject_sent(void *ctx)
{
	tell_refusal(ctx, ARGUMENT(ctx, reject_sent_oldskb), 0, HOOK_RST_SENT, 1);
	return 0;
}

/* Packets freed here for this reason were not lost: user space knows the names, and
 * puts the pair here as location << 16 | reason. */
BPF_HASH(quiet, u64, u8, 1024);

/* Neighbour discovery is freed as dropped after it has been taken in (until 6.2). */
INLINE bool is_neighbour_talk(const struct viptrace_event *e)
{
	return e->protocol == IP_ICMPV6 && (e->ttl == 255 || e->ttl == 1);
}

/* Raw tracepoint kfree_skb(skb, location[, reason[, rx_sk]]): reasons since 5.17.
 * The packet may have been parsed no further than L3, and carries no namespace. */
int skb_dropped(struct bpf_raw_tracepoint_args *ctx)
{
	struct settings *now = gate();
	struct viptrace_event e = {};
	u64 skb = ctx->args[0], location = ctx->args[1], reason = 0, pair;
	bool translated = false;

#if KFREE_SKB_ARGUMENTS >= 3
	reason = (u32)ctx->args[2] > 0xffff ? 0xffff : (u16)ctx->args[2];
#endif
	pair = location << 16 | reason;
	if (!now || quiet.lookup(&pair) || !read_packet(&e, skb) || is_neighbour_talk(&e))
		return 0;
#ifdef HAVE_conntrack
	u64 ct = conntrack_of(skb);

	if (ct) {
		read_conntrack(&e, ct);
		e.cookie = skb;
		translated = is_translated(&e);
	}
#endif
	if (!wanted(now, &e, translated))
		return 0;
	read_place(&e, skb, 0);
	e.hook = HOOK_DROP;
	e.detail = location;
	e.reason = reason;
	submit(ctx, &e);
	return 0;
}
