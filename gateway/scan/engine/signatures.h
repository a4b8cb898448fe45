/*
 * Which signatures a scan was made with, as one number: a mail that was held is scanned again
 * before it is let go where the number has changed since.
 */
#ifndef ENGINE_SIGNATURES_H
#define ENGINE_SIGNATURES_H

#include <stdint.h>

/*
 * Over the names, sizes and contents of the files at the path (a file, or a folder of files);
 * of the large containers of ClamAV over their headers, which hold the version and the time.
 * Never 0 where something is there; 0: nothing can be read.
 */
uint64_t signatures_fingerprint(const char *database);

#endif
