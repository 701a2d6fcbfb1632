// The same with bytes on loan: no connection has a buffer while it is silent.

#include "coho_server.hpp"

struct lease_echo {
    template <class Backend>
    static coho::task<> echo(coho::basic_tcp_stream<Backend> stream) {
        auto incoming = stream.incoming();
        while (auto lease = co_await incoming.next()) {
            auto sent = co_await stream.write_all(std::move(*lease));
            if (!sent) break;
        }
    }

    template <class Backend>
    static coho::task<> serve(coho::endpoint where) {
        return serve_each<Backend>(where, echo<Backend>);
    }
};

int main(int count, char** words) { return run_server<lease_echo>(count, words); }
