/* The tuple of a packet, parsed from the headers of its skb. */

struct ipv4_header {
	u8 version_length;
	u8 tos;
	u16 total_length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 src;
	u32 dst;
};

struct ipv6_header {
	u32 version_flow;
	u16 payload_length;
	u8 next;
	u8 hops;
	u32 src[4];
	u32 dst[4];
};

struct tcp_header {
	u16 src_port;
	u16 dst_port;
	u32 seq;
	u32 ack;
	u8 data_offset;
	u8 flags;
};

INLINE bool is_echo(u8 protocol, u8 type)
{
	return protocol == IP_ICMP ? type == 0 || type == 8 : type == 128 || type == 129;
}

/* Ports and TCP fields from the transport header at this address. */
INLINE void read_transport(struct viptrace_event *e, u64 at)
{
	struct tcp_header header = {};

	if (e->protocol == IP_TCP)
		READ_KERNEL(&header, sizeof(header), (const void *)at);
	else
		READ_KERNEL(&header, 8, (const void *)at);
	switch (e->protocol) {
	case IP_TCP:
		e->seq = __builtin_bswap32(header.seq);
		e->ack = __builtin_bswap32(header.ack);
		e->tcp_flags = header.flags;
		/* fallthrough */
	case IP_UDP:
	case IP_UDPLITE:
	case IP_SCTP:
	case IP_DCCP:
		e->src_port = header.src_port;
		e->dst_port = header.dst_port;
		break;
	case IP_ICMP:
	case IP_ICMPV6:
		if (is_echo(e->protocol, header.src_port & 0xff)) {
			e->src_port = (u16)header.seq; /* the identifier, at byte 4 */
			e->dst_port = (u16)header.seq;
		}
		break;
	}
}

INLINE u64 read_ipv4(struct viptrace_event *e, u64 at)
{
	struct ipv4_header header = {};

	READ_KERNEL(&header, sizeof(header), (const void *)at);
	e->family = FAMILY_IPV4;
	e->protocol = header.protocol;
	e->ttl = header.ttl;
	e->ip_id = __builtin_bswap16(header.id);
	e->length = __builtin_bswap16(header.total_length);
	map_address(e->src, &header.src, FAMILY_IPV4);
	map_address(e->dst, &header.dst, FAMILY_IPV4);
	if (header.fragment & __builtin_bswap16(0x1fff)) {
		e->flags |= FLAG_FRAGMENT;
		return 0;
	}
	return at + (header.version_length & 15) * 4;
}

/* Looks through two extension headers; further ones are told as the protocol. */
INLINE u64 read_ipv6(struct viptrace_event *e, u64 at)
{
	struct ipv6_header header = {};
	u8 extension[4];

	READ_KERNEL(&header, sizeof(header), (const void *)at);
	e->family = FAMILY_IPV6;
	e->protocol = header.next;
	e->ttl = header.hops;
	e->length = __builtin_bswap16(header.payload_length) + sizeof(header);
	map_address(e->src, header.src, FAMILY_IPV6);
	map_address(e->dst, header.dst, FAMILY_IPV6);
	at += sizeof(header);
#pragma unroll
	for (int i = 0; i < 2; i++) {
		u8 kind = e->protocol;

		if (kind != 0 && kind != 43 && kind != 44 && kind != 60)
			break;
		READ_KERNEL(extension, sizeof(extension), (const void *)at);
		e->protocol = extension[0];
		if (kind == 44) {
			if (extension[2] || extension[3] & 0xf8) {
				e->flags |= FLAG_FRAGMENT;
				return 0;
			}
			at += 8;
		} else {
			at += (extension[1] + 1) * 8;
		}
	}
	return at;
}

/* Fills "before" with the packet's own tuple; false when it is not IP. The network
 * header is all that is relied on: before L4 is parsed the transport header is unset. */
INLINE bool read_packet(struct viptrace_event *e, u64 skb)
{
	u64 head = 0, at;
	u32 tail = 0;
	u16 network = 0;
	u8 version = 0;

	FIELD(head, skb, sk_buff_head);
	FIELD(network, skb, sk_buff_network_header);
	FIELD(tail, skb, sk_buff_tail);
	if (!head || network + 20 > tail)
		return false;
	at = head + network;
	READ_KERNEL(&version, 1, (const void *)at);
	e->cookie = skb;
	if (version >> 4 == 4 && (version & 15) >= 5)
		at = read_ipv4(e, at);
	else if (version >> 4 == 6 && network + 40 <= tail)
		at = read_ipv6(e, at);
	else
		return false;
	if (!at)
		return true;
	if (at + 8 > head + tail)
		e->flags |= FLAG_SNAPPED;
	else
		read_transport(e, at);
	return true;
}

/* Interface and namespace of a packet; a socket's namespace where no device is set. */
INLINE void read_place(struct viptrace_event *e, u64 skb, u64 socket)
{
	u64 device = 0;
	u32 flags = 0;

	e->netns = netns_of_socket(socket);
	FIELD(device, skb, sk_buff_dev);
	if (!e->netns)
		e->netns = netns_of_device(device);
	if (device && e->netns) {
		FIELD(e->ifindex, device, net_device_ifindex);
		FIELD(flags, device, net_device_flags);
		if (flags & 8) /* IFF_LOOPBACK */
			e->flags |= FLAG_LOOPBACK;
	}
#if defined(HAVE_route) && defined(OFF_sk_buff__skb_refdst)
	if (!e->netns) { /* TCP clears skb->dev on its way to the socket */
		u64 dst = 0;

		FIELD(dst, skb, sk_buff__skb_refdst);
		dst &= ~1ULL;
		if (dst) {
			FIELD(device, dst, dst_entry_dev);
			e->netns = netns_of_device(device);
		}
	}
#endif
	if (!e->netns) {
		FIELD(socket, skb, sk_buff_sk);
		e->netns = netns_of_socket(socket);
	}
}
