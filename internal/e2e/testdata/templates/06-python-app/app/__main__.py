import argparse
import http.server
import os


class Version(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["VERSION"].encode())


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
http.server.HTTPServer(("127.0.0.1", parser.parse_args().port), Version).serve_forever()
