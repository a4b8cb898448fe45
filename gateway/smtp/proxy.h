/*
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt; EXT-08): the first bytes
 * of a connection from a listed proxy, before anything of SMTP or TLS. Only a listener with
 * `proxied from` parses one, and only of peers in that list; such a peer must send it. To a
 * domain's server with `client by proxy` we write one ourselves.
 *
 * Nothing is read out of a header before all of its declared length is there.
 */
#ifndef SMTP_PROXY_H
#define SMTP_PROXY_H

#include "base/ip.h"

enum {
	PROXY_V1_BYTES_MOST = 107, /* with CRLF, as the protocol says */
	PROXY_V2_BYTES_MOST =
		16 + 2048, /* with addresses and what else is told about the client */
};

/* What proxy_write writes at most: version 2 over IPv6, nothing behind the addresses. */
enum { PROXY_WRITTEN_MOST = 16 + 2 * 16 + 2 * 2 };

enum proxy_result { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	size_t taken;       /* bytes of the header; what follows is the client's */
	bool local;         /* LOCAL, UNKNOWN or UNSPEC: the socket's own addresses hold */
	struct ip src, dst; /* the client, and where it had connected to */
	uint16_t src_port, dst_port;
};

/*
 * in: all bytes so far. PROXY_BAD: no header, and never will be; why_out, where not NULL, says
 * why. A connection that ends while more bytes are needed has sent none either.
 */
enum proxy_result
proxy_parse(struct slice in, struct proxy_header *h_out, const char **why_out);
/*
 * The header of version 2 that says h (`taken` is not looked at); its bytes. LOCAL where h is
 * local or has no client. Where source and destination are not of one family, the destination
 * is written as none, 0.0.0.0 or ::.
 */
size_t proxy_write(const struct proxy_header *h, char out[PROXY_WRITTEN_MOST]);

#endif
