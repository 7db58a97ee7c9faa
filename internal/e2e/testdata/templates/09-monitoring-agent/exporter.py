#!/usr/bin/python3
import http.server


class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/proc/loadavg", encoding="ascii") as load:
            body = f"node_load1 {load.read().split()[0]}\n".encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("0.0.0.0", 9100), Metrics).serve_forever()
