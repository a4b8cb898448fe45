/*
 * Patterns into a file in memory and out of it; see pattern_list.h. Our parent is trusted, but
 * the reader checks lengths all the same: it runs with more rights than its workers.
 */
#include "scan/pattern_list.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/ipc.h"
#include "io/memfile.h"

enum { LEAST = 1 + 1 + 1 + 4, PATTERNS_MOST = 1024 };

int
scan_pattern_list_send(const struct scan_pattern *p, size_t n, struct err *err)
{
	struct ipc_out out;
	struct slice bytes;
	ipc_out_init_most(&out, SCAN_PATTERN_LIST_MOST);
	ipc_put_u32(&out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_u8(&out, (uint8_t)p[i].set);
		ipc_put_u8(&out, (uint8_t)p[i].kind);
		ipc_put_bool(&out, p[i].nocase);
		ipc_put_slice(&out, p[i].text);
	}
	int fd = ipc_out_ok(&out, &bytes)
			 ? memfile_new("the scanner's patterns", bytes, err)
			 : err_set(err, "all patterns together are more than %d bytes",
				   SCAN_PATTERN_LIST_MOST);
	ipc_out_fini(&out);
	return fd;
}

static bool
unpack(struct slice bytes, struct arena *a, struct scan_pattern **p_out, size_t *n_out)
{
	struct ipc_in in;
	ipc_in_init(&in, bytes);
	size_t n = ipc_get_count(&in, PATTERNS_MOST, LEAST);
	struct scan_pattern *p = arena_array(a, n, sizeof(*p));
	for (size_t i = 0; i < n; i++) {
		p[i].set = ipc_get_enum(&in, 2);
		p[i].kind = (enum scan_pattern_kind)ipc_get_enum(&in, SCAN_PATTERN_KINDS);
		p[i].nocase = ipc_get_bool(&in);
		p[i].text = ipc_get_slice(&in);
		p[i].text.p = arena_text(a, p[i].text);
	}
	*p_out = p;
	*n_out = n;
	return ipc_in_done(&in);
}

int
scan_pattern_list_receive(
	int fd, struct arena *a, struct scan_pattern **p_out, size_t *n_out, struct err *err)
{
	struct stat st;
	void *map = MAP_FAILED;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= SCAN_PATTERN_LIST_MOST)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return err_set(err, "the scanner's patterns cannot be read");
	bool good = unpack((struct slice){map, (size_t)st.st_size}, a, p_out, n_out);
	munmap(map, (size_t)st.st_size);
	return good ? 0 : err_set(err, "the scanner's patterns are damaged");
}
