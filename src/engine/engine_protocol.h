/* engine_protocol: what the daemon and tug-engine agree on beside HTTP. Read by backends/ and engine/.
 *
 * The daemon starts   tug-engine --model PATH --listen unix:SOCKET --ready-fd 3 [--NAME VALUE …]
 * fd 3 is one end of a stream socketpair. The engine writes exactly one line:
 *   ready {"pid":N,"memory_bytes":N,"context":N,"parallel":N,"load_ms":N,"embedding":false}\n
 *   failed {"code":"…","message":"…"}\n        and exits 1
 * and exits when its end reads EOF (the daemon has gone) or when it reads the line "stop\n"
 * (finish what runs, then exit 0). By hand, without --ready-fd: --listen 127.0.0.1:PORT and signals.
 */
#ifndef TUG_ENGINE_PROTOCOL_H
#define TUG_ENGINE_PROTOCOL_H

#define ENGINE_READY_FD    3
#define ENGINE_LINE_MAX    4096
#define ENGINE_WORD_READY  "ready "
#define ENGINE_WORD_FAILED "failed "
#define ENGINE_WORD_STOP   "stop"

#endif
