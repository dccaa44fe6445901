/* The one wire record between the kernel and user space: 128 bytes, two cache
 * lines, the same for every hook and both address families.
 *
 * tracer/events.py holds the same layout as a NumPy dtype; a test compiles this
 * file with the host's C compiler and compares sizes, offsets and numbers.
 */
#ifndef VIPTRACE_EVENT_H
#define VIPTRACE_EVENT_H

#ifndef __KERNEL__
#include <stdint.h>
typedef uint8_t  ev_u8;
typedef uint16_t ev_u16;
typedef uint32_t ev_u32;
typedef uint64_t ev_u64;
#else
typedef __u8  ev_u8;
typedef __u16 ev_u16;
typedef __u32 ev_u32;
typedef __u64 ev_u64;
#endif

/* What was decided. Numbers are stored in recordings: never reuse one. */
enum viptrace_hook {
	HOOK_NONE            = 0,
	HOOK_PACKET          = 1,  /* a packet seen on an interface (user space only) */
	HOOK_IPVS_NEW        = 2,  /* IPVS connection created: before = client->VIP, after = client->backend */
	HOOK_IPVS_NO_DEST    = 3,  /* virtual server without usable destination */
	HOOK_IPVS_FAILED     = 4,  /* scheduling failed for another reason */
	HOOK_IPVS_SENT       = 5,  /* deep: packet translated to the backend */
	HOOK_IPVS_REPLY      = 6,  /* deep: reply translated back */
	HOOK_IPVS_END        = 7,  /* IPVS connection freed */
	HOOK_NAT_DECIDED     = 8,  /* nf_nat_setup_info: manip type in reason (0 SRC, 1 DST) */
	HOOK_CT_NEW          = 9,  /* conntrack mapping confirmed: the final translation */
	HOOK_CT_UPDATE       = 10, /* conntrack state as read later (user space only) */
	HOOK_CT_FAILED       = 11, /* confirm did not insert (clash, race, drop) */
	HOOK_CT_FULL         = 12, /* no conntrack entry could be allocated */
	HOOK_CT_END          = 13, /* conntrack entry destroyed; seq/ack = packets, if accounting is on */
	HOOK_VERDICT         = 14, /* deep: hook verdict of nf_hook_slow */
	HOOK_TABLE           = 15, /* deep: rule table or chain verdict; detail = text id of its name */
	HOOK_ICMP_SENT       = 16, /* the kernel refused by ICMP; detail = type << 8 | code */
	HOOK_RST_SENT        = 17, /* the kernel refused by TCP reset */
	HOOK_DROP            = 18, /* skb freed as dropped; reason = name, detail = location */
	HOOK_LOCAL_IN        = 19, /* delivered to this machine's sockets (watched addresses) */
	HOOK_FORWARD         = 20, /* forwarded (watched addresses) */
	HOOK_IPVS_NO_ROUTE   = 21, /* IPVS found no route to the backend */
	HOOK_PAIRED          = 22, /* legs found in packets alone (user space only); seq = SYN's, detail = percent sure */
};

enum viptrace_flag {
	FLAG_AFTER     = 0x0001, /* the nat_ fields hold the tuple after translation */
	FLAG_REPLIED   = 0x0002, /* conntrack: IPS_SEEN_REPLY */
	FLAG_ASSURED   = 0x0004, /* conntrack: IPS_ASSURED */
	FLAG_SRC_NAT   = 0x0008, /* conntrack: IPS_SRC_NAT */
	FLAG_DST_NAT   = 0x0010, /* conntrack: IPS_DST_NAT */
	FLAG_QUOTED    = 0x0020, /* nat fields: the packet quoted in an ICMP error; reason: its protocol */
	FLAG_SNAPPED   = 0x0040, /* the packet was cut before the end of its headers */
	FLAG_FRAGMENT  = 0x0080, /* a later fragment: no ports */
	FLAG_OUTGOING  = 0x0100, /* seen leaving the interface */
	FLAG_IPTABLES  = 0x0200, /* the mapping was chosen by an xtables target */
	FLAG_NFTABLES  = 0x0400, /* the mapping was chosen by an nft expression */
	FLAG_IPVS      = 0x0800, /* the mapping was chosen by IPVS */
	FLAG_EXISTING  = 0x1000, /* read from a table, not witnessed */
	FLAG_LOOPBACK  = 0x2000, /* the packet was on the loopback interface */
	FLAG_TUNNELLED = 0x4000, /* nat fields: the tunnel around it; reason: its kind */
};

/* Addresses are 16 bytes, IPv4 mapped (::ffff:a.b.c.d); ports are in network
 * order; ICMP echo puts the identifier in both ports. "after" is the same packet
 * as it leaves translation: nat_src differs under SNAT, nat_dst under DNAT. */
struct viptrace_event {
	ev_u64 time_ns;      /* CLOCK_MONOTONIC in the kernel; user space makes it wall time */
	ev_u64 cookie;       /* skb, nf_conn or ip_vs_conn address: an identity, never followed */
	ev_u32 netns;        /* inode number of the network namespace, 0 unknown */
	ev_u32 ifindex;
	ev_u16 hook;
	ev_u16 flags;
	ev_u8  family;       /* 2 or 10 */
	ev_u8  protocol;     /* IP protocol number */
	ev_u8  tcp_flags;
	ev_u8  ttl;
	ev_u8  src[16];
	ev_u8  dst[16];
	ev_u8  nat_src[16];
	ev_u8  nat_dst[16];
	ev_u16 src_port;
	ev_u16 dst_port;
	ev_u16 nat_src_port;
	ev_u16 nat_dst_port;
	ev_u32 length;       /* IP bytes of the packet */
	ev_u32 seq;
	ev_u32 ack;
	ev_u16 ip_id;
	ev_u16 reason;       /* kernel number from the probe; text id once in EventBatch */
	ev_u64 detail;       /* meaning depends on the hook, see above */
};

#endif
