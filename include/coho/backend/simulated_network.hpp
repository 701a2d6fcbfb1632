#pragma once

#include "simulated_hosts.hpp"
#include "simulated_world.hpp"

#include <cerrno>
#include <limits>
#include <utility>

namespace coho {

/// The network of a simulated world: sockets on hosts, the ways between them, and datagrams. What
/// leaves a socket arrives at another, later, or not at all. It knows no operations; it tells which
/// sockets have changed.
class simulated_network : public simulated_world {
public:
    /// What the way between two hosts is like from now on, in both directions.
    void link(const ip_address& left, const ip_address& right,
              const link_conditions& conditions) noexcept {
        check_conditions(conditions);
        link_between(left, right).conditions = conditions;
    }
    /// Nothing passes between the two any more, until heal(); what is lost of a stream is sent
    /// again, with growing pauses.
    void partition(const ip_address& left, const ip_address& right) noexcept {
        link_between(left, right).cut = true;
    }
    void heal(const ip_address& left, const ip_address& right) noexcept {
        link_between(left, right).cut = false;
    }
    /// Sockets that are open; connections that nobody has accepted are not counted.
    std::size_t open_handles() const noexcept { return sockets_.open_handles(); }

protected:
    using happening = simulated_happening;
    /// Nothing could be done without waiting.
    static constexpr std::intptr_t blocked = (std::numeric_limits<std::intptr_t>::min)();
    static constexpr std::size_t largest_datagram = 65'507;

    explicit simulated_network(const simulated_options& wanted) noexcept
        : simulated_world(wanted) {
        check_conditions(wanted.network);
        if (faults_.drawn().contains(fault::partition)) {
            schedule(happening::cut, beginning + wanted.faults_begin + random_.up_to(a_while));
        }
    }
    ~simulated_network() {
        agenda_.for_each([](const simulated_event& each) {
            if (each.what == happening::datagram) {
                delete static_cast<simulated_datagram*>(each.subject);
            }
        });
    }

    bool reachable(const endpoint& from, const endpoint& to) noexcept {
        if (in_pieces_ || hosts_.is_down(from.address()) || hosts_.is_down(to.address())) {
            return false;
        }
        const auto* made = hosts_.find(from.address(), to.address());
        return !made || !made->cut;
    }
    /// When what leaves now is there. Where no link was made, each sender has a way of its own.
    time_point arrival(const endpoint& from, const endpoint& to, std::size_t bytes,
                       time_point& sender_busy_until) noexcept {
        auto* const made = hosts_.find(from.address(), to.address());
        const auto& way = made ? made->conditions : options_.network;
        auto leaves = now_;
        if (way.bytes_per_second > 0) {
            auto& busy_until = made ? made->busy_until : sender_busy_until;
            if (busy_until > leaves) leaves = busy_until;
            leaves += duration(static_cast<duration::rep>(
                static_cast<double>(bytes) * 1e9 / static_cast<double>(way.bytes_per_second)));
            if (bytes > 0) busy_until = leaves;
        }
        return leaves + way.latency + random_.up_to(way.jitter) + duration(1);
    }
    /// The same for what has no bytes of its own.
    time_point arrival(const endpoint& from, const endpoint& to) noexcept {
        auto nobody = now_;
        return arrival(from, to, 0, nobody);
    }
    bool is_lost(const endpoint& from, const endpoint& to, fault kind) noexcept {
        const auto* const made = hosts_.find(from.address(), to.address());
        const auto& way = made ? made->conditions : options_.network;
        return random_.happens(way.loss) || faults_.strikes(kind);
    }
    /// Pauses that double: as long again as it has lasted.
    time_point after_pause_since(time_point begin, duration shortest, duration longest) noexcept {
        const auto passed = now_ - begin;
        return now_ + (passed < shortest ? shortest : passed < longest ? passed : longest);
    }

    /// 0 or an error number.
    int bind_to(simulated_socket& socket, endpoint where) noexcept {
        if (socket.local.port() != 0) return EINVAL;
        if (where.address().family() != socket.family) return EAFNOSUPPORT;
        if (hosts_.is_down(where.address())) return ENETDOWN;
        if (where.port() == 0) where = {where.address(), free_port(where)};
        if (where.port() == 0) return EADDRINUSE;
        for (const auto stage : {simulated_stage::listening, simulated_stage::datagram}) {
            auto* const other = bound_to(where, stage);
            if (other && stage_wanted(socket) == stage) return EADDRINUSE;
        }
        socket.local = where;
        return 0;
    }
    /// The listener or mailbox that what is sent there reaches, or null.
    simulated_socket* bound_to(const endpoint& where, simulated_stage stage) noexcept {
        simulated_socket* found = nullptr;
        const auto wanted = without_mapping(where);
        sockets_.for_each([&](simulated_socket& each) {
            if (each.stage != stage || each.dead || each.local.port() != wanted.port()) return;
            const auto at = without_mapping(each.local.address());
            const bool takes_all = at.is_any() && host_is_home(wanted.address()) &&
                                   (at.family() == wanted.address().family() || takes_v4(each));
            if (at == wanted.address() || takes_all) found = &each;
        });
        return found;
    }

    /// Sends it all as datagrams of that size, each of which has its own fate.
    int send_datagrams(simulated_socket& sender, const endpoint& to,
                       std::span<const std::byte> bytes, std::size_t size) noexcept {
        if (bytes.size() > largest_datagram) return EMSGSIZE;
        if (bytes.size() > size * request::most_datagrams) return EINVAL;
        while (!bytes.empty()) {
            const auto each = bytes.first(size < bytes.size() ? size : bytes.size());
            if (const int failed = send_datagram(sender, to, each)) return failed;
            bytes = bytes.subspan(each.size());
        }
        return 0;
    }
    int send_datagram(simulated_socket& sender, const endpoint& to,
                      std::span<const std::byte> bytes) noexcept {
        if (sender.dead) return EIO;
        if (bytes.size() > largest_datagram) return EMSGSIZE;
        if (to.address().family() != sender.family) return EAFNOSUPPORT;
        if (to.port() == 0) return EINVAL;
        if (sender.local.port() == 0) {
            if (const int failed = bind_to(sender, {ip_address::any(sender.family), 0})) {
                return failed;
            }
        }
        auto from = without_mapping(sender.local);
        const auto target = without_mapping(to);
        if (from.address().is_any()) {
            from = {ip_address::loopback(target.address().family()), from.port()};
        }
        if (is_lost(from, target, fault::lost_datagram)) return 0;
        const int copies = faults_.strikes(fault::doubled_datagram) ? 2 : 1;
        for (int i = 0; i < copies; ++i) {
            auto* const made = simulated_datagram::make(from, target, bytes);
            if (!made) return ENOBUFS;
            auto when = arrival(from, target, bytes.size(), sender.busy_until);
            if (faults_.strikes(fault::overtaken_datagram)) when += random_.up_to(a_while);
            schedule(happening::datagram, when, sender.self, bytes.size(), made);
        }
        return 0;
    }
    void deliver(std::unique_ptr<simulated_datagram> datagram) noexcept {
        auto* const mailbox = bound_to(datagram->to, simulated_stage::datagram);
        if (!mailbox || !reachable(datagram->from, datagram->to)) return;
        const auto room = static_cast<std::size_t>(mailbox->receive_room.bytes);
        if (mailbox->datagram_bytes > 0 && mailbox->datagram_bytes + datagram->size > room) return;
        datagram->from = as_seen_by(mailbox->family, datagram->from);
        mailbox->push_datagram(*datagram.release());
        tell(*mailbox);
    }

    /// The whole network is cut, and mended again, while faults are in force.
    void change_weather(happening what) noexcept {
        const bool cuts = what == happening::cut && faults_.has(fault::partition);
        if (cuts) faults_.count(fault::partition);
        in_pieces_ = cuts;
        const auto next = random_.up_to(a_while) + std::chrono::milliseconds(1);
        if (cuts) schedule(happening::mend, now_ + next);
        else if (faults_.has(fault::partition)) schedule(happening::cut, now_ + next);
    }

    /// Its operations are to be looked at.
    void tell(simulated_socket& socket) noexcept {
        if (std::exchange(socket.changed, true)) return;
        check(changed_.grow(changed_count_ + 1), "there is no memory for a simulated world");
        changed_[changed_count_++] = socket.self;
    }

    static constexpr duration a_while = std::chrono::seconds(10);

    simulated_hosts hosts_;
    simulated_socket_table sockets_;
    growing_array<socket_reference> changed_;
    std::size_t changed_count_ = 0;

private:
    simulated_hosts::link& link_between(const ip_address& left, const ip_address& right) noexcept {
        auto* const made = hosts_.find(left, right);
        return made ? *made : hosts_.make(left, right, options_.network);
    }
    static bool host_is_home(const ip_address& address) noexcept {
        return simulated_hosts::host_of(address) == ip_address();
    }
    static bool takes_v4(const simulated_socket& socket) noexcept {
        return socket.family == address_family::ipv6 && !socket.v6_only;
    }
    static simulated_stage stage_wanted(const simulated_socket& socket) noexcept {
        return socket.stage == simulated_stage::datagram ? simulated_stage::datagram
                                                         : simulated_stage::listening;
    }
    static void check_conditions(const link_conditions& wanted) noexcept {
        check(wanted.loss >= 0 && wanted.loss < 1,
              "a simulated way loses less than all; to cut it, use partition()");
    }
    bool is_own_end(const endpoint& where) noexcept {
        return sockets_.has([&](const simulated_socket& each) {
            return !each.dead && each.local == where;
        });
    }
    /// 0 where all are taken.
    std::uint16_t free_port(const endpoint& where) noexcept {
        for (int tries = 0; tries <= last_of_all - first_of_all; ++tries) {
            if (last_port_++ == last_of_all) last_port_ = first_of_all;
            const endpoint tried(where.address(), last_port_);
            if (!bound_to(tried, simulated_stage::listening) &&
                !bound_to(tried, simulated_stage::datagram) && !is_own_end(tried)) {
                return last_port_;
            }
        }
        return 0;
    }

    // RFC 6335: the ports that are given out for a while.
    static constexpr std::uint16_t first_of_all = 49'152;
    static constexpr std::uint16_t last_of_all = 65'535;
    std::uint16_t last_port_ = first_of_all - 1;
    bool in_pieces_ = false;
};

}  // namespace coho
