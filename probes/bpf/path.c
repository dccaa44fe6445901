/* Per packet, armed by --deep or for a suspicious flow: where packets go. */

INLINE void tell_path(void *ctx, u64 skb, u16 hook)
{
	struct settings *now = gate();
	struct viptrace_event e = {};

	if (!now || !read_packet(&e, skb) || !wanted(now, &e, false))
		return;
	read_place(&e, skb, 0);
	e.hook = hook;
	submit(ctx, &e);
}

/* ip_local_deliver(skb), ip6_input(skb): routing chose this machine. */
int local_in(void *ctx)
{
	tell_path(ctx, ARGUMENT(ctx, local_in_skb), HOOK_LOCAL_IN);
	return 0;
}

/* ip_forward(skb), ip6_forward(skb): routing chose another machine. */
int forwarded(void *ctx)
{
	tell_path(ctx, ARGUMENT(ctx, forwarded_skb), HOOK_FORWARD);
	return 0;
}

/* A verdict is known at return, when the packet may be gone: the record is made at
 * entry and waits. */
BPF_HASH(waiting, u64, struct viptrace_event, 1024);

INLINE void wait_for_verdict(struct settings *now, u64 key, u64 skb, u16 hook, u64 detail)
{
	struct viptrace_event e = {};

	if (!read_packet(&e, skb) || !wanted(now, &e, false))
		return;
	read_place(&e, skb, 0);
	e.hook = hook;
	e.detail = detail;
	if (waiting.update(&key, &e))
		count(COUNT_LOST);
}

INLINE void tell_verdict(void *ctx, u64 kind)
{
	u64 key = STACK_AT_RETURN(ctx) | kind;
	s32 verdict = (s32)RESULT(ctx);
	struct viptrace_event e, *known = waiting.lookup(&key);

	if (!known)
		return;
	e = *known;
	waiting.delete(&key);
	/* NF_DROP 0, NF_ACCEPT 1, NF_STOLEN 2, NF_QUEUE 3, NF_REPEAT 4. nf_hook_slow
	 * speaks another way: 1 accepted, 0 stolen or queued, negative dropped. */
	if (kind == CALL_VERDICT)
		verdict = verdict == 1 ? 1 : verdict == 0 ? 2 : 0;
	e.reason = verdict & 0xff;
	submit(ctx, &e);
}

#ifdef HAVE_hook_state
/* nf_hook_slow(skb, state, ...): detail = protocol family << 8 | hook number. */
int verdict_enter(void *ctx)
{
	struct settings *now = gate();
	u64 state;
	u8 hook = 0, family = 0;

	if (!now)
		return 0;
	state = ARGUMENT(ctx, verdict_enter_state);
	FIELD(hook, state, nf_hook_state_hook);
	FIELD(family, state, nf_hook_state_pf);
	wait_for_verdict(now, STACK_AT_ENTRY(ctx) | CALL_VERDICT, ARGUMENT(ctx, verdict_enter_skb),
			 HOOK_VERDICT, (u64)family << 8 | hook);
	return 0;
}

int verdict_return(void *ctx)
{
	tell_verdict(ctx, CALL_VERDICT);
	return 0;
}
#endif

#if defined(HAVE_xt) || defined(HAVE_nft)
/* Names of tables and chains by their address, which is what TABLE records carry. */
struct label {
	char text[64];
};
BPF_TABLE("lru_hash", u64, struct label, labels, 4096);

INLINE void name_it(u64 object, u64 text)
{
	struct label label = {};

	if (labels.lookup(&object))
		return;
	READ_KERNEL(label.text, 32, (const void *)text);
	labels.update(&object, &label);
}

int table_return(void *ctx)
{
	tell_verdict(ctx, CALL_TABLE);
	return 0;
}
#endif

#ifdef HAVE_xt
/* ipt_do_table(priv, skb, state), (skb, state, table) before 5.16; ip6t_do_table too. */
int table_enter(void *ctx)
{
	struct settings *now = gate();
	u64 table;

	if (!now)
		return 0;
	table = ARGUMENT(ctx, table_enter_priv);
	name_it(table, table + OFF_xt_table_name);
	wait_for_verdict(now, STACK_AT_ENTRY(ctx) | CALL_TABLE, ARGUMENT(ctx, table_enter_skb),
			 HOOK_TABLE, table);
	return 0;
}
#endif

#ifdef HAVE_nft
/* nft_do_chain(pkt, priv): priv is the base chain. */
int chain_enter(void *ctx)
{
	struct settings *now = gate();
	u64 chain, skb = 0, name = 0;

	if (!now)
		return 0;
	chain = ARGUMENT(ctx, chain_enter_priv);
	FIELD(skb, ARGUMENT(ctx, chain_enter_pkt), nft_pktinfo_skb);
	FIELD(name, chain, nft_chain_name);
	name_it(chain, name);
	wait_for_verdict(now, STACK_AT_ENTRY(ctx) | CALL_TABLE, skb, HOOK_TABLE, chain);
	return 0;
}
#endif
