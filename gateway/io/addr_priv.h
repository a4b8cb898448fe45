/* Within the folder: addresses as the kernel takes them. */
#ifndef IO_ADDR_PRIV_H
#define IO_ADDR_PRIV_H

#include <sys/socket.h>

#include "io/stream.h"

socklen_t addr_to_sockaddr(const struct stream_addr *a, struct sockaddr_storage *out);
void addr_from_sockaddr(
	const struct sockaddr_storage *ss, socklen_t bytes, struct stream_addr *a_out);

#endif
