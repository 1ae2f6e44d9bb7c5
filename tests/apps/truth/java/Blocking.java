import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;

/** Ground truth on a pool of threads that block: HttpServer and HttpURLConnection. See tests/src/truth. Takes a port. */
public final class Blocking {
    private static final String UPSTREAM = System.getenv("UPSTREAM");
    private static final ExecutorService HELPERS = Executors.newFixedThreadPool(64);

    public static void main(String[] arguments) throws IOException {
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var server = HttpServer.create(address, 128);
        server.setExecutor(Executors.newFixedThreadPool(96));
        server.createContext("/", exchange -> {
            var path = exchange.getRequestURI().getPath().split("/");
            var status = 200;
            try {
                work(path[1], path[2]);
            } catch (Exception error) {
                error.printStackTrace();
                status = 500;
            }
            exchange.sendResponseHeaders(status, 2);
            exchange.getResponseBody().write("ok".getBytes());
            exchange.close();
        });
        server.start();
    }

    private static void work(String pattern, String id) throws Exception {
        switch (pattern) {
            case "seq" -> {
                call(id, 1);
                call(id, 2);
            }
            case "pause" -> {
                pause();
                call(id, 1);
                pause();
                call(id, 2);
                pause();
            }
            default -> {
                Future<Void> first = HELPERS.submit(() -> call(id, 1));
                Future<Void> second = HELPERS.submit(() -> call(id, 2));
                first.get();
                second.get();
                call(id, 3);
            }
        }
    }

    private static Void call(String id, int number) throws IOException {
        var url = URI.create(UPSTREAM + "/up/" + id + "/" + number).toURL();
        var connection = (HttpURLConnection) url.openConnection();
        try (InputStream body = connection.getInputStream()) {
            body.readAllBytes();
        }
        return null;
    }

    private static void pause() throws InterruptedException {
        Thread.sleep(ThreadLocalRandom.current().nextInt(6));
    }
}
