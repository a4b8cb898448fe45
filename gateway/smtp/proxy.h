/*
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt; EXT-08): the first bytes
 * of a connection from a listed proxy, before anything of SMTP or TLS. Only a listener with
 * `proxied from` calls this, and only for peers in that list; such a peer must send a header.
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

#endif
