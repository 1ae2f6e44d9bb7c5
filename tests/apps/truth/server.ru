# frozen_string_literal: true

# Ground truth on Ruby's threads: a rack application under puma, Net::HTTP with a connection a thread.
# See tests/src/truth.
require 'net/http'

UPSTREAM = URI(ENV.fetch('UPSTREAM'))

def call_upstream(id, number)
  http = Thread.current.thread_variable_get(:upstream)
  unless http
    http = Net::HTTP.new(UPSTREAM.host, UPSTREAM.port)
    http.keep_alive_timeout = 60
    http.start
    Thread.current.thread_variable_set(:upstream, http)
  end
  http.get("/up/#{id}/#{number}").value
end

def pause
  sleep(rand * 0.005)
end

def work(pattern, id)
  case pattern
  when 'seq'
    call_upstream(id, 1)
    call_upstream(id, 2)
  when 'pause'
    pause
    call_upstream(id, 1)
    pause
    call_upstream(id, 2)
    pause
  when 'fan'
    [1, 2].map { |number| Thread.new { call_upstream(id, number) } }.each(&:join)
    call_upstream(id, 3)
  end
end

run(lambda do |env|
  _, pattern, id = env['PATH_INFO'].split('/')
  work(pattern, id)
  [200, { 'Content-Type' => 'text/plain' }, ['ok']]
end)
