/* What every probe shares: arguments, fields, the filter, the one way out.
 *
 * Kernel addresses are plain u64 here, so that BCC rewrites nothing and every read
 * of kernel memory is spelled out. OFF_* macros come from probes/fields.py, ARG_*
 * macros (argument positions by BTF prototype) from probes/program.py.
 */
#define INLINE static __attribute__((always_inline)) inline

#ifdef OLD_READ /* before 5.5 there was one helper for both kinds of memory */
#define READ_KERNEL bpf_probe_read
#else
#define READ_KERNEL bpf_probe_read_kernel
#endif

#define FIELD(into, pointer, field) \
	READ_KERNEL(&(into), sizeof(into), (const void *)((pointer) + OFF_##field))
/* The same for an integer whose width depends on the kernel; both architectures are little-endian. */
#define INTEGER(into, pointer, field)                                                        \
	do {                                                                                 \
		(into) = 0;                                                                  \
		READ_KERNEL(&(into), SIZE_##field, (const void *)((pointer) + OFF_##field)); \
	} while (0)

/* Registers of a function's arguments, its result and the stack, by offset in
 * struct pt_regs: the layout is fixed by ptrace(2). */
#if defined(__aarch64__) || defined(bpf_target_arm64)
#define REGISTER(ctx, offset) (*(u64 *)((char *)(ctx) + (offset)))
#define ARGUMENT_OFFSET(n) ((n) * 8)
#define RESULT(ctx) REGISTER(ctx, 0)
#define STACK_AT_ENTRY(ctx) REGISTER(ctx, 31 * 8)
#define STACK_AT_RETURN(ctx) REGISTER(ctx, 31 * 8)
#else
#define REGISTER(ctx, offset) (*(u64 *)((char *)(ctx) + (offset)))
#define ARGUMENT_OFFSET(n) ((n) == 0 ? 112 : (n) == 1 ? 104 : (n) == 2 ? 96 : \
			    (n) == 3 ? 88 : (n) == 4 ? 72 : 64)
#define RESULT(ctx) REGISTER(ctx, 80)
#define STACK_AT_ENTRY(ctx) (REGISTER(ctx, 152) + 8) /* the call pushed 8 bytes */
#define STACK_AT_RETURN(ctx) REGISTER(ctx, 152)
#endif
#define ARGUMENT(ctx, name) REGISTER(ctx, ARGUMENT_OFFSET(ARG_##name))

enum {
	FAMILY_IPV4 = 2,
	FAMILY_IPV6 = 10,
	IP_ICMP = 1,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_ICMPV6 = 58,
	IP_DCCP = 33,
	IP_SCTP = 132,
	IP_UDPLITE = 136,
};

struct settings {
	u32 open;      /* 0: every probe returns at once */
	u32 watch_all; /* records pass whatever their addresses */
	u32 any_netns; /* conntrack and IPVS records pass from every namespace */
	u32 spare;
};

struct prefix {
	u32 length; /* bits */
	u8 address[16];
};

struct address {
	u64 words[2];
};

enum counter {
	COUNT_LOST = 0,   /* no room in the ring */
	COUNT_MISSED = 1, /* a return probe that never came */
	COUNT_SENT = 2,
	COUNTERS = 3,
};

BPF_ARRAY(settings, struct settings, 1);
BPF_HASH(namespaces, u32, u8, 4096);
BPF_LPM_TRIE(watched, struct prefix, u8, 65536);
/* Backends of translations seen: their drops and resets matter as well. */
BPF_TABLE("lru_hash", struct address, u8, learned, 16384);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
#ifdef HAVE_RINGBUF
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
#else
BPF_PERF_OUTPUT(events);
#endif

INLINE void count(int which)
{
	u64 *value = counters.lookup(&which);
	if (value)
		*value += 1;
}

/* Settings if the gate is open: the first line of every probe. */
INLINE struct settings *gate(void)
{
	int zero = 0;
	struct settings *now = settings.lookup(&zero);

	return now && now->open ? now : 0;
}

INLINE bool netns_wanted(struct settings *now, u32 netns)
{
	return now->any_netns || namespaces.lookup(&netns);
}

INLINE void copy_address(void *into, const void *from)
{
	((u64 *)into)[0] = ((const u64 *)from)[0];
	((u64 *)into)[1] = ((const u64 *)from)[1];
}

/* 16 bytes of a union nf_inet_addr, IPv4 mapped. */
INLINE void map_address(void *into, const void *from, u8 family)
{
	const u32 *words = from;
	u32 *mapped = into;

	if (family == FAMILY_IPV4) {
		mapped[3] = words[0];
		mapped[2] = __builtin_bswap32(0xffff);
		mapped[1] = 0;
		mapped[0] = 0;
	} else {
		mapped[0] = words[0];
		mapped[1] = words[1];
		mapped[2] = words[2];
		mapped[3] = words[3];
	}
}

INLINE bool same_address(const void *one, const void *other)
{
	const u64 *a = one, *b = other;

	return a[0] == b[0] && a[1] == b[1];
}

INLINE bool is_translated(const struct viptrace_event *e)
{
	return (e->flags & FLAG_AFTER) &&
	       !(same_address(e->src, e->nat_src) && same_address(e->dst, e->nat_dst) &&
		 e->src_port == e->nat_src_port && e->dst_port == e->nat_dst_port);
}

INLINE bool is_watched(const void *address)
{
	struct prefix key = { .length = 128 };
	struct address exact;

	__builtin_memcpy(key.address, address, 16);
	if (watched.lookup(&key))
		return true;
	copy_address(&exact, address);
	return learned.lookup(&exact) != 0;
}

/* Whether a record says something about watched addresses or a translation. */
INLINE bool wanted(struct settings *now, const struct viptrace_event *e, bool translated)
{
	if (now->watch_all || translated)
		return true;
	return is_watched(e->dst) || is_watched(e->src);
}

INLINE void learn(const void *address)
{
	struct address key;
	u8 one = 1;

	copy_address(&key, address);
	if (!learned.lookup(&key))
		learned.update(&key, &one);
}

/* The one way to user space. */
INLINE void submit(void *ctx, struct viptrace_event *e)
{
	long failed;

	e->time_ns = bpf_ktime_get_ns();
#ifdef HAVE_RINGBUF
	failed = events.ringbuf_output(e, sizeof(*e), BPF_RB_NO_WAKEUP);
#else
	failed = events.perf_submit(ctx, e, sizeof(*e));
#endif
	count(failed ? COUNT_LOST : COUNT_SENT);
}

/* Entry and return of one call meet by stack pointer: softirqs share process 0,
 * and calls nest. The lowest three bits of a stack pointer are free for the kind,
 * as a tail call leaves two functions with the same stack pointer. */
enum call_kind {
	CALL_CONFIRM = 0,
	CALL_ALLOC = 1,
	CALL_SCHEDULE = 2,
	CALL_ROUTE = 3,
	CALL_VERDICT = 4,
	CALL_TABLE = 5,
};

struct call {
	u64 first;
	u64 second;
};
BPF_HASH(calls, u64, struct call, 4096);

INLINE void remember(void *ctx, u64 kind, u64 first, u64 second)
{
	u64 key = STACK_AT_ENTRY(ctx) | kind;
	struct call call = { first, second };

	/* Still there: the return probe of an earlier call was missed. */
	if (calls.lookup(&key))
		count(COUNT_MISSED);
	if (calls.update(&key, &call))
		count(COUNT_LOST);
}

INLINE bool recall(void *ctx, u64 kind, struct call *into)
{
	u64 key = STACK_AT_RETURN(ctx) | kind;
	struct call *call = calls.lookup(&key);

	if (!call)
		return false;
	*into = *call;
	calls.delete(&key);
	return true;
}

INLINE u32 inode_of(u64 net)
{
	u32 inode = 0;

	if (net)
		FIELD(inode, net, net_ns_inum);
	return inode;
}

INLINE u32 netns_of_device(u64 device)
{
	u64 net = 0;

	if (device)
		FIELD(net, device, net_device_nd_net);
	return inode_of(net);
}

INLINE u32 netns_of_socket(u64 socket)
{
	u64 net = 0;

	if (socket)
		FIELD(net, socket, sock___sk_common_skc_net);
	return inode_of(net);
}
